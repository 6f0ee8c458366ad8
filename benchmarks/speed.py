"""How fast everything is, as ratios in one run on one machine: writes ``docs/benchmarks.md``.

    python benchmarks/speed.py [--output docs/benchmarks.md] [--quick]

Times are medians of repeats that take turns. Other networks have random weights: their speed does
not depend on what they have learned. YOLO11 is not built here: its code is AGPL.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from scipy import ndimage
from skimage.segmentation import watershed

from blood_cell_system.analysis.execution import Execution
from blood_cell_system.analysis.opened_networks import int8_file
from blood_cell_system.analysis.trained_models import load_classifier, load_runtime
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.model_metadata import classifier_kinds
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.model_slots import bundled_classifier, bundled_segmenter
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

Work = Callable[[], object]
CORES = os.cpu_count() or 1

# A process of its own: Linux counts the memory of the one that starts a program as that program's.
_PEAK = (
    "import resource, subprocess, sys;"
    "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def medians(works: dict[str, Work], *, runs: int = 5) -> dict[str, float]:
    """Median seconds of each piece of work, in turn, after one run that does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for run in range(runs + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if run:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def unet(widths: tuple[int, ...], classes: int) -> bytes:
    """Build a plain U-Net of random weights: two 3×3 convolutions a level, transposed ones up."""
    generator = np.random.default_rng(0)
    nodes, weights = [], []

    def layer(kind: str, source: str, shape: tuple[int, ...], **attributes: object) -> str:
        name = f"n{len(nodes)}"
        values = generator.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w_{name}"))
        nodes.append(helper.make_node(kind, [source, f"w_{name}"], [name], **attributes))
        return name

    def simple(kind: str, *sources: str, **attributes: object) -> str:
        name = f"n{len(nodes)}"
        nodes.append(helper.make_node(kind, list(sources), [name], **attributes))
        return name

    def block(source: str, taken: int, given: int) -> str:
        for count in (taken, given):
            source = simple("Relu", layer("Conv", source, (given, count, 3, 3), pads=[1] * 4))
        return source

    now, taken, skipped = "pixels", 3, []
    for width in widths:
        if skipped:
            now = simple("MaxPool", now, kernel_shape=[2, 2], strides=[2, 2])
        now, taken = block(now, taken, width), width
        skipped.append(now)
    for width, skip in zip(widths[-2::-1], skipped[-2::-1], strict=True):
        up = layer("ConvTranspose", now, (taken, width, 2, 2), strides=[2, 2])
        now, taken = block(simple("Concat", up, skip, axis=1), 2 * width, width), width
    last = layer("Conv", now, (classes, taken, 1, 1))
    shapes = [("pixels", 3), (last, classes)]
    (inputs,), (outputs,) = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", count, "h", "w"))]
        for name, count in shapes
    )
    graph = helper.make_graph(nodes, "unet", [inputs], [outputs], weights)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def multiply_adds(data: bytes, shape: tuple[int, ...]) -> float:
    """Multiply-adds of the convolutions of a network for one input, measured by its outputs."""
    model = onnx.load_from_string(data)
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(
        helper.make_empty_tensor_value_info(node.output[0])
        for node in nodes
        if node.output[0] not in known
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (first,) = session.get_inputs()
    names = [node.output[0] for node in nodes]
    found = session.run(names, {first.name: np.zeros(shape, np.float32)})
    total = 0.0
    for node, values in zip(nodes, found, strict=True):
        dims = weights[node.input[1]]
        is_up = node.op_type == "ConvTranspose"
        # Each pixel of a transposed convolution of stride 2 sees one place of its kernel.
        total += values.size * (dims[0] if is_up else np.prod(dims[1:]))
    return total


def session_of(data: bytes, shape: tuple[int, ...], threads: int = CORES) -> Work:
    """Give what runs a network in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: np.full(shape, 128, np.float32)}
    return lambda: session.run(None, feed)


def openvino_of(data: bytes, shape: tuple[int, ...], precision: str) -> Work:
    """Give what runs a network in OpenVINO."""
    import io

    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": precision}
    request = core.compile_model(core.read_model(io.BytesIO(data)), "CPU", settings)
    batch = np.full(shape, 128, np.float32)
    running = request.create_infer_request()
    return lambda: running.infer([batch])


def gemm(side: int = 1024) -> tuple[bytes, tuple[int, ...], float]:
    """Build one product of matrices: the rate that the machine can compute at."""
    values = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "gemm",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, (side, side))],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, (side, side))],
        [numpy_helper.from_array(values, "b")],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return model.SerializeToString(), (side, side), float(side) ** 3


def threshold_and_watershed(image: np.ndarray) -> int:
    """Count cells the plain way: Otsu's threshold, distance from the background, watershed."""
    _, foreground = cv2.threshold(image[..., 1], 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    distance = cv2.GaussianBlur(cv2.distanceTransform(foreground, cv2.DIST_L2, 5), (0, 0), 3)
    peaks = (ndimage.maximum_filter(distance, 31) == distance) & (distance > 10)
    markers, _ = ndimage.label(peaks)
    return int(watershed(-distance, markers, mask=foreground > 0).max())


def smear_of(shape: tuple[int, int], *, coverage: float = 0.6, diameter: float = 95.0):
    """Draw a smear."""
    settings = SmearSettings(shape=shape, coverage=(coverage, coverage), cell_diameter_px=diameter)
    return draw_smear(settings, np.random.default_rng(0)).image


def table(*rows: tuple[object, ...]) -> Iterator[str]:
    """Lay a table out; the first row is its head."""
    head, *others = rows
    for row in (head, ("---",) * len(head), *others):
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def networks(runs: int) -> Iterator[str]:
    """Compare networks with each other and with the limit of the machine."""
    path = bundled_segmenter()
    ours, small = path.read_bytes(), int8_file(path).read_bytes()
    original, star = unet((64, 128, 256, 512, 1024), 3), unet((32, 64, 128, 256), 33)
    shape, square = (1, 480, 640, 3), (1, 3, 512, 512)
    product, side, of_product = gemm()
    works = {
        "ours": session_of(ours, shape),
        "ours, int8": session_of(small, shape),
        "StarDist-sized U-Net (depth 3, base 32)": session_of(star, (1, 3, 480, 640)),
        "f32": session_of(product, side),
    }
    if is_there := has_openvino():
        works |= {
            "ours, OpenVINO f32": openvino_of(ours, shape, "f32"),
            "ours, OpenVINO bf16": openvino_of(ours, shape, "bf16"),
            "bf16": openvino_of(product, side, "bf16"),
        }
    seconds = medians(works, runs=runs)
    guide = "guide's original U-Net (64…1024), at 512×512"
    seconds |= medians({guide: session_of(original, square)}, runs=2)
    rate = of_product / seconds["f32"]
    work = {name: multiply_adds(ours, shape) for name in seconds if name.startswith("ours")}
    work["StarDist-sized U-Net (depth 3, base 32)"] = multiply_adds(star, (1, 3, 480, 640))
    work[guide] = multiply_adds(original, square)
    yield "## Networks alone, 640×480\n"
    rows = []
    for name, count in work.items():
        limit = of_product / seconds["bf16"] if "bf16" in name else rate
        rows.append(
            (
                name,
                f"{1000 * seconds[name]:.0f}",
                f"{seconds[name] / seconds['ours']:.2f}",
                f"{count / 1e9:.1f}",
                f"{seconds[name] / (count / limit):.1f}",
            )
        )
    head = ("", "ms", "of ours, f32", "10⁹ multiply-adds", "of the machine's limit")
    yield from table(head, *rows)
    yield (
        f"The limit is the time of as many multiply-adds at the rate of a product of two 1024×1024 "
        f"matrices: {rate / 1e9:.0f}·10⁹ a second in float32"
        + (f", {of_product / seconds['bf16'] / 1e9:.0f}·10⁹ in bfloat16" if is_there else "")
        + ". Eight bits are compared with float32.\n"
    )


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    try:
        return bool(version("openvino"))
    except ModuleNotFoundError:
        return False


def pieces(runs: int) -> Iterator[str]:
    """Compare an analysis and its parts with a plain method."""
    image = smear_of((480, 640))
    counting = InferencePipeline(BloodCellAnalysisSystem(), is_classifying=False)
    whole = InferencePipeline(BloodCellAnalysisSystem())
    small = InferencePipeline(BloodCellAnalysisSystem(execution=Execution(precision="int8")))
    runtime = load_runtime(bundled_segmenter())
    batch = image[None].astype(np.float32)
    plain = "threshold and watershed"
    works: dict[str, Work] = {
        plain: lambda: threshold_and_watershed(image),
        "network": lambda: runtime.predict(batch),
        "counting: network, separation, measuring, report": lambda: counting.analyze_array(image),
        "the same with both classifiers": lambda: whole.analyze_array(image),
    }
    try:
        small.analyze_array(image)
        works["the same in int8"] = lambda: small.analyze_array(image)
    except ValueError as error:
        print(f"left out: {error}", file=sys.stderr)
    seconds = medians(works, runs=runs)
    yield "## One image of 640×480, in memory\n"
    yield from table(
        ("", "ms", f"of {plain}"),
        *((n, f"{1000 * s:.0f}", f"{s / seconds[plain]:.2f}") for n, s in seconds.items()),
    )
    cells = np.random.default_rng(0).uniform(0, 255, (64, 130, 130, 3)).astype(np.float32)
    rows = []
    for kind in classifier_kinds():
        if path := bundled_classifier(kind):
            classifier = load_classifier(path, kind)
            (took,) = medians({"": lambda one=classifier: one.predict(cells)}, runs=runs).values()
            rows.append((str(kind), f"{len(cells) / took:.0f}"))
    yield from table(("classifier, one view", "cells a second"), *rows)


def commands(runs: int) -> Iterator[str]:
    """Measure whole commands, from a cold start, and how they grow."""
    program = [sys.executable, "-m", "blood_cell_system", "analyze", "--quiet"]

    def run(*words: str) -> tuple[float, float]:
        taken, peak = [], 0.0
        for _ in range(runs):
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", _PEAK, *program, *words],
                check=True,
                capture_output=True,
                encoding="utf-8",
            )
            taken.append(time.perf_counter() - started)
            peak = max(peak, int(done.stdout) / 1024)
        return statistics.median(taken), peak

    rows = []
    with TemporaryDirectory() as folder:
        root = Path(folder)

        def measure(name: str, images: list[np.ndarray], *more: str) -> None:
            inside = root / f"in{len(rows)}"
            for number, image in enumerate(images):
                write_image(inside / f"smear_{number:03d}.png", image)
            seconds, peak = run(str(inside), "-o", str(root / f"out{len(rows)}"), *more)
            rows.append((name, f"{seconds:.2f}", f"{seconds / len(images):.3f}", f"{peak:.0f}"))

        small = smear_of((480, 640))
        for count in (1, 4, 16, 48):
            measure(f"{count} images of 640×480", [small] * count)
        measure("16 images, one core (--jobs 1)", [small] * 16, "--jobs", "1")
        for height, width in ((960, 1280), (1920, 2560), (3000, 4000)):
            measure(f"one image of {width}×{height}", [smear_of((height, width))])
        for diameter in (48.0, 24.0):
            words = f"one image of 640×480, cells of {diameter:.0f} px"
            measure(words, [smear_of((480, 640), diameter=diameter)])
        path, data = root / "disk", os.urandom(64 << 20)
        started = time.perf_counter()
        with path.open("wb") as file:
            file.write(data)
            os.fsync(file.fileno())
        rate = len(data) / (time.perf_counter() - started)
    yield "## `bloodcells analyze`, from a cold start\n"
    yield from table(("", "s", "s an image", "peak MB of one process"), *rows)
    yield f"The disk writes {rate / 1e6:.0f} MB a second.\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    options = parser.parse_args()
    runs = 2 if options.quick else 7
    started = time.perf_counter()
    packages = [f"{name} {version(name)}" for name in ("onnxruntime", "numpy", "blood-cell-system")]
    if has_openvino():
        packages.append(f"openvino {version('openvino')}")
    parts = [*networks(runs), *pieces(runs), *commands(1 if options.quick else 3)]
    load = os.getloadavg()[2]
    text = "\n".join(
        (
            "# Benchmarks\n",
            f"Written by `make bench` in {time.perf_counter() - started:.0f} s: {processor()}, "
            f"{CORES} cores, {platform.system()}, Python {platform.python_version()}, "
            f"{', '.join(packages)}. Load of the last quarter of an hour: {load:.1f}. Medians of "
            f"{runs} runs in turn; ratios hold on other machines better than times. Smears are "
            "drawn. What runs the networks: [speed](speed.md).\n",
            *parts,
        )
    )
    options.output.write_text(text.rstrip("\n") + "\n", "utf-8")
    print(text)


def processor() -> str:
    """Name the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
