"""From a prepared folder to a trained model and the record of its making."""
