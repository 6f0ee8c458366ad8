"""A segmenter in an ONNX file: no Keras, no TensorFlow, ready in a tenth of a second."""

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classifier_facts import FACTS_KEY
from blood_cell_system.errors import CheckpointError
from blood_cell_system.inference.onnx_session import (
    check_content,
    open_session,
    read_onnx,
    run_session,
)
from blood_cell_system.inference.runtimes import (
    PROBE_SIDE,
    NetworkOutputs,
    gives_logits,
    outputs_from,
)
from blood_cell_system.onnx_metadata import OnnxMetadata


class OnnxRuntime:
    """A segmenter in an ``.onnx`` file.

    Besides this project's exports any network works with one RGB input of 0..255, channels last,
    and one output of three classes, as probabilities or as logits.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        What to call it in messages.
    threads : int, optional
        How many threads one picture may use; all cores by default.

    Attributes
    ----------
    metadata : OnnxMetadata or None
        What the file says of itself; None for one that another program has made.
    training_diameter_px : float or None
        Diameter of a red cell in the pictures that it learned from; None where the file does not
        tell.

    Raises
    ------
    SettingsError
        ``threads`` is not positive.
    CheckpointError
        The file is damaged, of a newer ONNX, or no segmenter.
    """

    def __init__(self, data: bytes, *, name: str = "model", threads: int | None = None) -> None:
        self._name = name
        self._session = open_session(data, name=name, threads=threads)
        self.metadata = self._checked_metadata(data)
        self.training_diameter_px = self.metadata.training_diameter_px if self.metadata else None
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._input, self.input_shape = self._checked_input()
        self._returns_logits = False
        self._returns_logits = gives_logits(self.predict, self.input_shape, name=name)

    @classmethod
    def load(cls, path: Path, *, threads: int | None = None) -> Self:
        """Load an ``.onnx`` file.

        Raises
        ------
        MissingDataError
            There is no such file.
        SettingsError
            ``threads`` is not positive.
        CheckpointError
            The file is damaged, of a newer ONNX, or no segmenter.
        """
        data = read_onnx(Path(path))
        return cls(data, name=str(Path(path)), threads=threads)

    def predict(self, batch: NDArray[np.float32]) -> NetworkOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        values = run_session(
            self._session,
            self._outputs,
            {self._input: batch},
            name=self._name,
            what=f"a picture of {batch.shape[1]}×{batch.shape[2]}",
        )
        # A foreign network may name its only output as it likes.
        names = ["classes"] if len(values) == 1 else self._outputs
        return outputs_from(dict(zip(names, values, strict=True)), are_logits=self._returns_logits)

    def _checked_metadata(self, data: bytes) -> OnnxMetadata | None:
        properties = dict(self._session.get_modelmeta().custom_metadata_map)
        if FACTS_KEY in properties:
            raise CheckpointError(
                f"{self._name}: is a classifier of single cells; expected a segmenter. Name the "
                "folder of both with --models, or use bloodcells classify."
            )
        try:
            metadata = OnnxMetadata.from_properties(properties)
        except ValueError as error:
            raise CheckpointError(
                f"{self._name}: what the file says of itself makes no sense ({error}). Export the "
                "model again with bloodcells export."
            ) from error
        check_content(data, metadata.content_sha256 if metadata else None, name=self._name)
        return metadata

    def _checked_input(self) -> tuple[str, tuple[int, int] | None]:
        inputs = self._session.get_inputs()
        shapes = [tuple(entry.shape) for entry in inputs]
        kinds = [entry.type for entry in inputs]
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
            raise CheckpointError(
                f"{self._name}: takes inputs of shape {shapes}; expected one of (batch, height, "
                "width, 3). Is this a segmentation model for RGB pictures, channels last?"
            )
        if kinds != ["tensor(float)"] or (isinstance(shapes[0][0], int) and shapes[0][0] != 1):
            raise CheckpointError(
                f"{self._name}: takes {kinds[0]} in batches of {shapes[0][0]}; expected "
                "tensor(float) in batches of any size, or of 1."
            )
        # Open dimensions have a name, or None.
        height, width = (side if isinstance(side, int) else None for side in shapes[0][1:3])
        if height is None and width is None:
            return inputs[0].name, None
        return inputs[0].name, (height or PROBE_SIDE, width or PROBE_SIDE)
