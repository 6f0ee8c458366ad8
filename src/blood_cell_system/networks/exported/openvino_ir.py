"""OpenVINO's own form: a graph in ``.xml``, its weights beside it in ``.bin``.

The metadata are ``rt_info`` of the graph: ``blood_cell_system/model``. Weights stay float32, and
runtimes are asked to compute in float32: OpenVINO otherwise takes bfloat16 where there is it.
"""

import io
from functools import cache
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from blood_cell_system.model_metadata import NO_HASH, ModelMetadata, as_text, seal_of, sealed
from blood_cell_system.networks.export_registry import ExportFormat, Run, register_format
from blood_cell_system.quiet_import import import_openvino

_PLACE: Final = ("blood_cell_system", "model")
"""Path of the record within ``rt_info``."""


@cache
def shared_core() -> Any:
    """Give OpenVINO's core, one for the process.

    Networks that outlive their core end the process by a segmentation fault, long after.
    """
    return import_openvino().Core()


def _write(data: bytes, path: Path, metadata: ModelMetadata) -> None:
    model = shared_core().read_model(io.BytesIO(data))
    info = model.get_rt_info()
    # What the ONNX file says of itself is of that file.
    for key in [key for key in info if key != "version"]:
        del info[key]
    model.set_rt_info(as_text(metadata.replace(content_sha256=NO_HASH)), list(_PLACE))
    import_openvino().save_model(model, str(path), compress_to_fp16=False)
    graph, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    path.write_bytes(graph.replace(NO_HASH.encode(), seal_of([graph, weights]).encode()))


def _open(path: Path) -> Run:
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = shared_core().compile_model(str(path), "CPU", settings)

    def run(batch: Any) -> dict[str, Any]:
        values = compiled.create_infer_request().infer([batch])
        return {output.get_any_name(): value for output, value in values.items()}

    return run


def _read_metadata(path: Path) -> ModelMetadata | None:
    from defusedxml.ElementTree import fromstring

    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ValueError(f"{weights.name} is not beside it")
    graph = path.read_bytes()
    try:
        found = fromstring(graph).find("/".join(("./rt_info", *_PLACE)))
    except ParseError as error:
        raise ValueError(f"no XML: {error}") from error
    if found is None:
        return None
    return sealed(found.get("value", ""), [graph, weights.read_bytes()])


register_format(
    ExportFormat(
        name="openvino",
        title="OpenVINO IR",
        suffix=".xml",
        extra="openvino",
        packages=("openvino",),
        is_of_keras=False,
        is_analysed=True,
        write=_write,
        open=_open,
        read_metadata=_read_metadata,
    )
)
