"""The models that an analysis uses."""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from blood_cell_system.analysis.execution import Execution
from blood_cell_system.analysis.trained_models import Runtime
from blood_cell_system.atomic_files import make_folder, replacing
from blood_cell_system.errors import MissingDataError, OutputError, SettingsError
from blood_cell_system.model_metadata import (
    CELL_SIDE_PX,
    STRIDE,
    ClassifierKind,
    ModelMetadata,
    classifier_kinds,
)
from blood_cell_system.pipeline.model_slots import (
    SEGMENTER_NAMES,
    SEGMENTER_STEM,
    ModelSlot,
    ReadyModel,
    classifiers_in,
    describe,
    is_keras,
    kind_of_model,
    segmenter_in,
    unwrap,
)
from blood_cell_system.taxonomy import WBC


def _save(slot: ModelSlot, folder: Path) -> Path:
    """Write a model as ``.keras`` with its metadata, or copy the ``.onnx`` it was loaded from."""
    model = unwrap(slot.model)
    suffix = ".keras" if is_keras(model) else ".onnx"
    target = folder / f"{slot.stem}{suffix}"
    other = target.with_suffix(".keras" if suffix == ".onnx" else ".onnx")
    if other.exists():
        raise OutputError(
            f"{other}: there is a model of another format here, and one of the two would be "
            "loaded by chance. Choose an empty folder, or remove it."
        )
    if is_keras(model):
        # Here, not above: this imports Keras.
        from blood_cell_system.networks.onnx_export import save_classifier, save_model

        slot.ready()
        metadata = slot.metadata or ModelMetadata(kind="segmenter")
        (save_model if slot.kind is None else save_classifier)(model, target, metadata=metadata)
    elif slot.path is None:
        raise SettingsError(
            f"save_models: {slot.stem} is a {type(model).__name__} that came from no file; "
            "expected a Keras model, or one that was loaded."
        )
    elif not (target.exists() and target.samefile(slot.path)):
        with replacing(target) as temporary:
            shutil.copyfile(slot.path, temporary)
    return target


_D_REDUCED: Final = 64
"""Width of the Reynolds operators of built models: that of the preset ``balanced``."""

_logger = logging.getLogger(__name__)

Shape = tuple[int, int, int]


class _Model:
    """Model of a slot as an attribute: what was set, built or loaded; None before."""

    def __init__(self, slot: str | None) -> None:
        self._slot = slot

    def __get__(self, system: "BloodCellAnalysisSystem", owner: type) -> Any:
        return system._slots[self._slot].model

    def __set__(self, system: "BloodCellAnalysisSystem", model: Any) -> None:
        system._slots[self._slot].set(model)


class BloodCellAnalysisSystem:
    """A segmenter and classifiers of red and white cells.

    Where none is set, built or loaded, those that come with this package are used.

    Parameters
    ----------
    seg_input_shape : tuple of int
        ``(height, width, 3)`` of the segmenter's images in ``summary``, multiples of 32. The
        network itself takes every such size, and ``InferencePipeline`` images of any.
    clf_input_shape : tuple of int
        ``(height, width, 3)`` of the cell images that built classifiers take.
    d_reduced : int, optional
        Width of the Reynolds operators of built models, 0 leaves them out; by default 64, and of
        trained models what their preset has.
    use_domain_adapt : bool
        Whether ``TrainingPipeline`` trains with domain adaptation. The models are the same.
    execution : Execution, optional
        On what the models of files run.

    Attributes
    ----------
    segmentation_model : keras.Model or Runtime or None
        Any that :class:`~blood_cell_system.analysis.trained_models.NetworkSegmenter` takes, or
        anything that runs like one.
    rbc_classifier, wbc_classifier : keras.Model or ClassifierRuntime or None
        Likewise; see :class:`~blood_cell_system.analysis.trained_models.NetworkClassifier`.

    Raises
    ------
    SettingsError
        A shape or ``d_reduced`` makes no network.

    Examples
    --------
    >>> system = BloodCellAnalysisSystem()
    >>> system.segmentation_model is None
    True
    """

    def __init__(
        self,
        seg_input_shape: Shape = (512, 512, 3),
        clf_input_shape: Shape = (CELL_SIDE_PX, CELL_SIDE_PX, 3),
        d_reduced: int | None = None,
        *,
        use_domain_adapt: bool = False,
        execution: Execution | None = None,
    ) -> None:
        _check_input_shape("seg_input_shape", seg_input_shape, multiple_of=STRIDE)
        _check_input_shape("clf_input_shape", clf_input_shape, multiple_of=1)
        if d_reduced is not None and d_reduced < 0:
            raise SettingsError(f"d_reduced: received {d_reduced}; expected 0 or more.")
        self.seg_input_shape = tuple(seg_input_shape)
        self.clf_input_shape = tuple(clf_input_shape)
        self.d_reduced = d_reduced
        self.use_domain_adapt = use_domain_adapt
        self.execution = execution
        self._slots: dict[str | None, ModelSlot] = {None: ModelSlot(execution=execution)}
        self._slots |= {
            str(kind): ModelSlot(kind, execution=execution) for kind in classifier_kinds()
        }

    segmentation_model = _Model(None)
    rbc_classifier = _Model("rbc")
    wbc_classifier = _Model("wbc")

    def build_all_models(self) -> None:
        """Build all three, untrained; needs the ``[train]`` extra."""
        # Here, not above: analysing must not wait for TensorFlow.
        from blood_cell_system.networks.architectures import of_config
        from blood_cell_system.networks.cell_classifier import CellClassifierConfig
        from blood_cell_system.networks.reynolds_unet import ReynoldsUNetConfig

        d_reduced = _D_REDUCED if self.d_reduced is None else self.d_reduced
        for slot in self._slots.values():
            kind = slot.kind
            config: Any = ReynoldsUNetConfig(d_reduced=d_reduced)
            # Shapes of red cells need a folder that names them: a training adds that output.
            types = kind.types if kind is not None and kind.cell_type == WBC else ()
            if kind is not None:
                config = CellClassifierConfig.for_kind(
                    kind, types=types, input_shape=self.clf_input_shape, d_reduced=d_reduced
                )
            architecture = of_config(config)
            record = architecture.record(config)
            metadata = (
                ModelMetadata(kind="segmenter", architecture=record)
                if kind is None
                else ModelMetadata.of_classifier(kind, subtypes=types, architecture=record)
            )
            slot.set(architecture.build(config), metadata=metadata)

    def compile_models(self, *, learning_rate: float = 1e-3) -> None:
        """Compile the Keras models for ``fit``, with optimizer, losses and accuracies.

        ``TrainingPipeline`` needs no compiled models: its own loop masks what is not labelled.

        Raises
        ------
        SettingsError
            There is no Keras model, or the learning rate is not positive.
        """
        if not learning_rate > 0:
            raise SettingsError(f"learning_rate: received {learning_rate}; expected more than 0.")
        from blood_cell_system.networks.cell_classifier import compile_for_fit

        models = [unwrap(slot.model) for slot in self._slots.values()]
        models = [model for model in models if is_keras(model)]
        if not models:
            raise SettingsError(
                "There is no Keras model to compile; expected one. Call build_all_models first, or "
                "load .keras files."
            )
        for model in models:
            compile_for_fit(model, learning_rate=learning_rate)

    def summary(self, print_fn: Callable[[str], None] = print) -> str:
        """Describe each model: size, input and outputs. Gives the text, and hands it on too."""
        width = "of the preset" if self.d_reduced is None else self.d_reduced
        adaptation = "on" if self.use_domain_adapt else "off"
        lines = [f"Reynolds width {width}, domain adaptation {adaptation}"]
        shapes = {SEGMENTER_STEM: self.seg_input_shape}
        for slot in self._slots.values():
            lines.append(f"{slot.stem}: {describe(slot.model, shapes.get(slot.stem))}")
        text = "\n".join(lines)
        print_fn(text)
        return text

    def save_models(self, folder: Path | str) -> tuple[Path, ...]:
        """Save what models there are, as ``.keras`` or as the loaded ``.onnx``; give their files.

        Raises
        ------
        SettingsError
            There is nothing to save.
        OutputError
            A file cannot be written, or one of another format would be loaded in its place.
        """
        slots = [slot for slot in self._slots.values() if slot.model is not None]
        if not slots:
            raise SettingsError(
                "save_models: there is no model to save; expected one that was set, built or "
                "loaded. Call build_all_models or load_models first."
            )
        return tuple(_save(slot, make_folder(Path(folder))) for slot in slots)

    def load_segmenter(self, path: Path | str) -> None:
        """Load a segmenter from a ``.keras`` or ``.onnx`` file; raises as ``load_models``."""
        self._slots[None].load(Path(path))

    def load_classifier(self, path: Path | str, kind: ClassifierKind | str) -> None:
        """Load a classifier from a ``.keras`` or ``.onnx`` file; raises as ``load_models``.

        Parameters
        ----------
        kind : ClassifierKind or str
            Such as ``rbc``; of a type of your own, which the model's metadata describe, its name.
        """
        path = Path(path)
        if not isinstance(kind, ClassifierKind):
            kind = kind_of_model(path, kind)
        slot = ModelSlot(kind, execution=self.execution)
        self._slots.setdefault(str(kind), slot).load(path)

    def load_models(self, folder: Path | str) -> None:
        """Load what models a folder holds; classifiers may be missing.

        A segmenter that was set or loaded by name before is kept.

        Parameters
        ----------
        folder : Path or str
            With ``segmentation_model.onnx`` or ``.keras`` (or ``segmentation_model_best.keras``),
            ``rbc_classifier.onnx`` or ``.keras``, ``wbc_classifier.onnx`` or ``.keras``; of a type
            of your own likewise.

        Raises
        ------
        MissingDataError
            There is none of them, and no segmenter was set before.
        CheckpointError
            A file is damaged or no model of this kind.
        """
        folder = Path(folder)
        segmenter = segmenter_in(folder)
        classifiers = classifiers_in(folder)
        if segmenter is None and not classifiers:
            stems = (kind.file_stem for kind in classifier_kinds())
            names = (*SEGMENTER_NAMES, *(f"{s}{e}" for s in stems for e in (".onnx", ".keras")))
            message = f"{folder}: no models there; expected one of {', '.join(names)}."
            if not self._slots[None].is_by_name:
                raise MissingDataError(
                    f"{message} Name the folder that your models were saved in, or set "
                    "segmentation_model."
                )
            _logger.warning("%s The classifiers of this package are used, if it has any.", message)
        if segmenter is not None and not self._slots[None].is_by_name:
            self._slots[None].load(segmenter, is_by_name=False)
        for kind, path in classifiers.items():
            self.load_classifier(path, kind)

    def keep_commercial(self) -> None:
        """Use only models that learned from data whose licence allows commercial use.

        A classifier that did not is left out, with a warning: its cells are only counted.

        Raises
        ------
        SettingsError
            The segmenter did not.
        MissingDataError, CheckpointError
            As of ``segmentation_runtime``.
        """
        # Here, not above: the data sets need SciPy, whose import takes as long as an analysis.
        from blood_cell_system.datasets.source_licences import sources_against

        for name, slot in list(self._slots.items()):
            if (ready := slot.ready()) is None:
                continue
            metadata = getattr(ready.runtime, "metadata", None)
            architecture = metadata and metadata.architecture
            against = sources_against(
                metadata.data if metadata else "",
                architecture=architecture.name if architecture else "",
            )
            if against and name is None:
                raise SettingsError(
                    f"--commercial-only: {ready.name} is for research ({'; '.join(against)}), and "
                    "nothing is counted without a segmenter. Train one on BCCD or drawn smears, "
                    "and name it: --model FILE (docs/commercial_use.md)."
                )
            if against:
                _logger.warning(
                    "%s is for research (%s); %s cells are not classified.",
                    ready.name,
                    "; ".join(against),
                    name,
                )
                del self._slots[name]

    def segmentation_runtime(self) -> Runtime:
        """Give the segmenter, ready to run.

        Raises
        ------
        MissingDataError
            None was set, and none comes with this package.
        CheckpointError
            The model is no segmenter.
        """
        runtime: Runtime = self._ready_segmenter().runtime
        return runtime

    def ready_classifiers(self) -> dict[str, ReadyModel]:
        """Give the classifiers, ready to run: those that were set, else those of this package.

        Returns
        -------
        dict of str to ReadyModel
            By kind, such as ``rbc``.

        Raises
        ------
        CheckpointError
            A model is no classifier of its kind.
        """
        ready = {name: slot.ready() for name, slot in self._slots.items() if name is not None}
        return {name: model for name, model in ready.items() if model is not None}

    @property
    def models(self) -> tuple[Any, ...]:
        """What was set, built or loaded, the segmenter first; None for what was not."""
        return tuple(slot.model for slot in self._slots.values())

    def model_files(self) -> dict[str | None, Path | None] | None:
        """Give the files that models were loaded from, by kind, None for the segmenter.

        No path for those that come with this package; None where a model is of no file, or of a
        ``.keras`` file.
        """
        files: dict[str | None, Path | None] = dict.fromkeys(self._slots)
        for name, slot in self._slots.items():
            if slot.model is None:
                continue
            if slot.path is None or slot.path.suffix.lower() == ".keras":
                return None
            files[name] = slot.path.absolute()
        return files

    @classmethod
    def of_files(
        cls, files: Mapping[str | None, Path | None], *, execution: Execution | None = None
    ) -> "BloodCellAnalysisSystem":
        """Make a system of what ``model_files`` gave; kinds that are not among it are left out.

        Raises
        ------
        MissingDataError, CheckpointError
            As of ``load_segmenter`` and ``load_classifier``.
        """
        system = cls(execution=execution)
        for kind, path in files.items():
            if path is not None and kind is None:
                system.load_segmenter(path)
            elif path is not None and kind is not None:
                system.load_classifier(path, kind)
        system._slots = {name: slot for name, slot in system._slots.items() if name in files}
        return system

    def model_identity(self) -> tuple[str, str]:
        """Name of the segmenter, and the SHA-256 of its file, or of its weights without one.

        Raises
        ------
        MissingDataError
            None was set, and none comes with this package.
        """
        ready = self._ready_segmenter()
        return ready.name, ready.sha256

    @property
    def runs_in(self) -> str | None:
        """Runtime of the segmenter with its version, device and precision; None in memory."""
        return self._ready_segmenter().runs_in

    def _ready_segmenter(self) -> ReadyModel:
        ready = self._slots[None].ready()
        if ready is None:  # For the types alone: a segmenter that is not there is an error.
            raise MissingDataError("There is no segmenter.")
        return ready


def _check_input_shape(name: str, shape: Shape, *, multiple_of: int) -> None:
    """Refuse what is no (height, width, 3) of RGB images."""
    sides = tuple(shape)[:2]
    is_fine = len(shape) == 3 and shape[2] == 3 and min(sides) > 0
    if not is_fine or any(side % multiple_of for side in sides):
        words = f", height and width multiples of {multiple_of}" if multiple_of > 1 else ""
        raise SettingsError(f"{name}: received {shape}; expected (height, width, 3){words}.")
