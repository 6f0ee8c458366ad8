"""On what networks run: which runtime, which device, which precision.

By default an ``.onnx`` file runs in ONNX Runtime, a ``.keras`` file in Keras, and an ``.xml`` or
``.tflite`` file in OpenVINO, in float32 on the processor. Others are had by name: 8 bits where
``bloodcells quantize`` has made them, bfloat16 in OpenVINO. Figures are in ``docs/speed.md``.
"""

import importlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal, get_args

from blood_cell_system.errors import SettingsError, UnknownNameError
from blood_cell_system.quiet_import import import_onnxruntime
from blood_cell_system.settings import check_ranges, ranged

RuntimeName = Literal["auto", "onnx", "openvino", "keras"]
Precision = Literal["f32", "bf16", "int8"]

_READERS: Final[dict[str, tuple[Literal["onnx", "openvino", "keras"], ...]]] = {
    ".onnx": ("onnx", "openvino"),
    ".keras": ("keras",),
    ".xml": ("openvino",),
    ".tflite": ("openvino",),
}
"""By the end of a file's name, the runtimes that read it; the first by default."""

RUN_SUFFIXES: Final = tuple(_READERS)
"""Of model files that can be run."""

_PROVIDERS: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
"""ONNX Runtime's name of what runs a network on a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How networks are run.

    Parameters
    ----------
    runtime : str
        ``onnx`` or ``openvino`` for ``.onnx`` files, ``openvino`` for ``.xml`` and ``.tflite``,
        ``keras`` for ``.keras``; ``auto`` goes by the file and the precision.
    device : str
        ``cpu``; ``cuda``, ``rocm``, ``directml`` or ``coreml`` of ONNX Runtime; ``gpu`` of
        OpenVINO and Keras.
    precision : str
        ``f32``; ``int8``, for which a file of 8 bits lies beside the model; ``bf16``, which
        OpenVINO alone computes with.
    threads : int, optional
        How many threads one run of an ``.onnx`` file may use; all cores by default. TensorFlow's
        threads are a matter of the whole process.

    Raises
    ------
    SettingsError
        A value is none of these, or the values do not go together.
    """

    runtime: RuntimeName = "auto"
    device: str = "cpu"
    precision: Precision = "f32"
    threads: int | None = ranged(None, at_least=1, is_optional=True)

    def __post_init__(self) -> None:
        check_ranges(self)
        for name, known in (("runtime", RuntimeName), ("precision", Precision)):
            if getattr(self, name) not in get_args(known):
                raise UnknownNameError.of(name, getattr(self, name), get_args(known))
        precisions = {"onnx": ("f32", "int8"), "keras": ("f32",)}.get(self.runtime)
        if precisions and self.precision not in precisions:
            raise SettingsError(
                f"precision: received {self.precision} with the runtime {self.runtime}; expected "
                f"one of {', '.join(precisions)}, or the runtime openvino."
            )

    def runtime_for(self, path: Path) -> Literal["onnx", "openvino", "keras"]:
        """Say what runs a file.

        Raises
        ------
        SettingsError
            The runtime that was asked for does not read such files.
        """
        readers = _READERS[path.suffix.lower()]
        by_precision: dict[str, Literal["onnx", "openvino", "keras"]]
        by_precision = {"bf16": "openvino", "int8": "onnx"}
        wanted = by_precision.get(self.precision, readers[0])
        if self.runtime != "auto":
            wanted = self.runtime
        if wanted not in readers:
            remedy = "Leave --runtime and --precision out, or export it to another --format:"
            if wanted == "keras":
                remedy = "Name the .keras file that it was made of, or leave --runtime out:"
            elif readers == ("keras",):
                remedy = "Write it as .onnx first: bloodcells export --model"
            read = " or ".join(end for end, names in _READERS.items() if wanted in names)
            raise SettingsError(
                f"{path}: the runtime {wanted} does not read such a file; expected a {read} file. "
                f"{remedy} {path}"
            )
        return wanted

    @property
    def is_default(self) -> bool:
        """Whether nothing was asked for."""
        return self == Execution(threads=self.threads)

    def words_for(self, path: Path) -> str:
        """Say what runs a file; for reports."""
        package = {"onnx": "onnxruntime"}.get(name := self.runtime_for(path), name)
        return f"{package} {_version_of(package)}, {self.device}, {self.precision}"


def _version_of(package: str) -> str:
    """Version of a runtime, whichever distribution it is of: onnxruntime-gpu has the same name."""
    stated: str = importlib.import_module(package).__version__
    return stated.partition("-")[0]


_DOT_PRODUCTS: Final = (23, 101)
"""OpenCV's numbers of AVX-512 VNNI and of the dot products of ARM."""


def is_fast_at_int8() -> bool:
    """Whether the processor has 8-bit dot products.

    Without them, 8 bits are no faster than float32, and on x86 their sums may overflow.
    """
    import cv2

    return any(map(cv2.checkHardwareSupport, _DOT_PRODUCTS))


def onnx_provider(device: str) -> str:
    """Name what runs networks on a device in ONNX Runtime.

    Raises
    ------
    SettingsError
        It knows no such device, or this build of it has none.
    """
    onnxruntime = import_onnxruntime()

    there = onnxruntime.get_available_providers()
    provider = _PROVIDERS.get(device)
    if provider is None or provider not in there:
        found = [name for name, one in _PROVIDERS.items() if one in there]
        raise no_device(device, "onnxruntime", found)
    return provider


def no_device(device: str, package: str, found: list[str]) -> SettingsError:
    """Say that a runtime has no such device, and which ones it has."""
    return SettingsError(
        f"device: received {device}; {package} {_version_of(package)} finds {', '.join(found)} on "
        "this machine. Install its driver and the build of the runtime for it (for CUDA: "
        "onnxruntime-gpu in the place of onnxruntime), or leave --device out."
    )


def openvino_core(execution: Execution) -> Any:
    """Start OpenVINO, and check that it has the device and the precision.

    Raises
    ------
    SettingsError
        It is not installed, or has no such device or precision here.
    """
    try:
        version("openvino")
    except PackageNotFoundError as error:
        raise SettingsError(
            "runtime: received openvino, which is not installed. Install the extra: "
            "pip install 'blood-cell-system[openvino]', or leave --runtime and --precision out."
        ) from error
    # Here, not above: it is of the networks' formats, which start without it.
    from blood_cell_system.networks.exported.openvino_ir import shared_core

    core = shared_core()
    devices = [name.lower() for name in core.available_devices]
    if execution.device not in devices:
        raise no_device(execution.device, "openvino", devices)
    abilities = core.get_property(execution.device.upper(), "OPTIMIZATION_CAPABILITIES")
    if execution.precision == "bf16" and "BF16" not in abilities:
        raise SettingsError(
            "precision: received bf16, which this processor does not compute with; expected f32. "
            "Leave --precision out."
        )
    return core
