"""The names of the training of all models, beside ``inference_pipeline``."""

from blood_cell_system.pipeline.training_pipeline import TrainingConfig, TrainingPipeline

__all__ = ["TrainingConfig", "TrainingPipeline"]
