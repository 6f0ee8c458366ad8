"""Six examples of the whole system, on drawn smears: nothing is downloaded.

    python example_usage.py              all of them, in some minutes
    python example_usage.py --only 4     one of them
    python example_usage.py --quick      with trainings that are too short to be of use

Everything is written below ./example_output. Needs the packages for training:
pip install '.[train]'
"""

import argparse
import sys
from pathlib import Path

from blood_cell_system import BloodCellAnalysisSystem, TrainingConfig, TrainingPipeline
from blood_cell_system.analysis.classification import ClassificationSettings
from blood_cell_system.analysis.image_analysis import AnalysisSettings, BorderRule
from blood_cell_system.datasets.synthetic import SmearSettings, write_synthetic_folder
from blood_cell_system.errors import BloodCellError
from blood_cell_system.model_metadata import classifier_kinds
from blood_cell_system.pipeline.synthetic_cells import write_synthetic_cells
from blood_cell_system.taxonomy import RBC
from inference_pipeline import InferencePipeline, batch_process_images


def example_1_build_and_inspect(output: Path, *, is_quick: bool) -> None:
    """Build the three networks, look at them, save them, and load them again."""
    system = BloodCellAnalysisSystem(
        seg_input_shape=(512, 512, 3),
        clf_input_shape=(130, 130, 3),
        d_reduced=16 if is_quick else 64,
        use_domain_adapt=False,
    )
    system.build_all_models()
    system.compile_models(learning_rate=1e-3)
    system.summary()
    for path in system.save_models(output / "untrained"):
        print(f"saved {path} ({path.stat().st_size / 1e6:.1f} MB)")
    again = BloodCellAnalysisSystem()
    again.load_models(output / "untrained")
    again.summary()


def example_2_train_rbc(output: Path, *, is_quick: bool) -> None:
    """Train the classifier of red cells, and see what it is worth on fields it has not seen."""
    system = BloodCellAnalysisSystem()
    trained = TrainingPipeline(system, _training(output, is_quick=is_quick)).train_rbc_classifier()
    print(f"best validation score {trained.best_score:.3f} in epoch {trained.best_epoch}")
    ready = system.ready_classifiers()["rbc"]
    print(f"{ready.name} distinguishes: {', '.join(ready.runtime.metadata.conditions)}")


def example_3_train_all(output: Path, *, is_quick: bool) -> None:
    """Train segmenter and both classifiers, one after the other."""
    system = BloodCellAnalysisSystem()
    pipeline = TrainingPipeline(system, _training(output, is_quick=is_quick))
    segmenter, red, white = pipeline.train_all_sequential()
    print(f"segmenter: mean IoU {segmenter.best_score:.3f} on validation smears")
    print(f"red cells: best score {red.best_score:.3f}, white cells: {white.best_score:.3f}")
    system.summary()


def example_4_one_image(output: Path, *, is_quick: bool) -> None:
    """Analyse one image: counts, conditions, and every file of the report."""
    image = _smears(output, is_quick=is_quick)[0]
    pipeline = InferencePipeline(_system_of(output))
    report = pipeline.process_image(image, save_visualization=True, output_dir=output / "one_image")
    print(report.to_summary_text())
    cells = report.cells.to_dataframe()
    for cell in cells.loc[list(report.uncertain_cells[:3])].itertuples():
        print(f"look at cell {cell.Index}: {cell.cell_type}, confidence {cell.confidence:.2f}")


def example_5_batch(output: Path, *, is_quick: bool) -> None:
    """Analyse a folder: a table, a summary, and a page that opens from the disk."""
    images = _smears(output, is_quick=is_quick)
    pipeline = InferencePipeline(_system_of(output))
    summary = batch_process_images(images[0].parent, pipeline, output / "batch")
    for kind, findings in summary.findings.items():
        print(f"{kind}: {findings.state} ({findings.reason})")
        for rate in findings.rates:
            words = "too few cells to say" if rate.share is None else f"{rate.share:.1%}"
            print(f"  {rate.name}: {rate.count} of {rate.total}, {words}")
    print(f"open {output / 'batch' / 'index.html'}")


def example_6_custom_configuration(output: Path, *, is_quick: bool) -> None:
    """Set thresholds, magnification and border rule, and classify each cell from eight sides."""
    image = _smears(output, is_quick=is_quick)[0]
    pipeline = InferencePipeline(
        _system_of(output),
        confidence_threshold=0.5,
        uncertain_margin=0.2,
        settings=AnalysisSettings(
            cell_diameter_px=60, pixel_size_um=0.12, border_rule=BorderRule.TWO_SIDES
        ),
        classification=ClassificationSettings(views=8),
    )
    report = pipeline.process_image(image)
    red = report.types[RBC]
    print(f"{red.count} red cells are counted, {red.not_counted} at the border are not")
    if red.median_diameter_um is not None:
        print(f"their median diameter is {red.median_diameter_um:.1f} µm")
    print(f"{len(report.uncertain_cells)} cells to review")


EXAMPLES = (
    example_1_build_and_inspect,
    example_2_train_rbc,
    example_3_train_all,
    example_4_one_image,
    example_5_batch,
    example_6_custom_configuration,
)


def _training(output: Path, *, is_quick: bool) -> TrainingConfig:
    """Draw what is to be learned from, and say how."""
    fields, side = (8, 200) if is_quick else (40, 480)
    look = SmearSettings(shape=(side, side * 4 // 3), stain="wright-giemsa", cell_diameter_px=50)
    data = output / "data"
    for kind in classifier_kinds():
        write_synthetic_cells(data / f"cells_{kind}", kind=kind, fields=fields, settings=look)
    write_synthetic_folder(data / "segmentation", count=fields, settings=look)
    return TrainingConfig(
        segmentation_data_dir=data / "segmentation",
        rbc_data_dir=data / "cells_rbc",
        wbc_data_dir=data / "cells_wbc",
        output_dir=output / "models",
        checkpoint_dir=output / "checkpoints",
        log_dir=output / "logs",
        preset="fast",
        epochs=1 if is_quick else 5,
        batch_size=8 if is_quick else None,
        samples_per_epoch=16 if is_quick else 640,
    )


def _smears(output: Path, *, is_quick: bool) -> list[Path]:
    """Draw images of a patient with malaria and sickle cells."""
    settings = SmearSettings(
        shape=(240, 320) if is_quick else (480, 640),
        stain="wright-giemsa",
        cell_diameter_px=60,
        malaria_share=0.1,
        sickle_share=0.1,
    )
    stems = write_synthetic_folder(output / "smears", count=2 if is_quick else 6, settings=settings)
    return [output / "smears" / "images" / f"{stem}.png" for stem in stems]


def _system_of(output: Path) -> BloodCellAnalysisSystem:
    """Take the classifiers of examples 2 and 3 where they were trained, else the built-in ones."""
    system = BloodCellAnalysisSystem()
    if any((output / "models").glob("*_classifier.onnx")):
        system.load_models(output / "models")
    return system


def main(arguments: list[str] | None = None) -> int:
    """Run the examples that were asked for."""
    parser = argparse.ArgumentParser(description="Six examples of the whole system.")
    parser.add_argument("--only", type=int, choices=range(1, len(EXAMPLES) + 1), metavar="N")
    parser.add_argument("--output", type=Path, default=Path("example_output"), metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="trainings too short to be of use")
    options = parser.parse_args(arguments)
    for number, example in enumerate(EXAMPLES, start=1):
        if options.only in (None, number):
            print(f"\nExample {number}: {example.__doc__}\n")
            try:
                example(options.output, is_quick=options.quick)
            except BloodCellError as error:
                print(f"error: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
