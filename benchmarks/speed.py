"""How fast everything is, as ratios in one run on one machine: writes ``docs/benchmarks.md``.

    python benchmarks/speed.py [--output docs/benchmarks.md] [--quick] [--ultralytics PYTHON]
                               [--cellpose PYTHON]

Times are medians of repeats that take turns. Other networks have random weights: their speed does
not depend on what they have learned. YOLO11, whose code is AGPL, is built by another environment.
"""

import argparse
import io
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

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
from blood_cell_system.reports.image_files import write_words
from blood_cell_system.wording import counted

Work = Callable[[], object]
Feed = np.ndarray
CORES: Final = os.cpu_count() or 1
THREADS: Final = (1, CORES) if CORES > 1 else (1,)


def openvino_precisions() -> tuple[str, ...]:
    """Precisions that OpenVINO computes with on this processor; none where it is not installed."""
    try:
        import openvino
    except ModuleNotFoundError:
        return ()
    # Without instructions for it OpenVINO computes in float32, and says nothing.
    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("f32", "bf16") if has_bf16 else ("f32",)


IN_OPENVINO: Final = openvino_precisions()
RUN_IN: Final = (("f32", False), *((precision, True) for precision in IN_OPENVINO))
"""Precisions of operations in float32, and whether OpenVINO runs them."""

# A process of its own: Linux counts the memory of the one that starts a program as that program's.
_PEAK: Final = (
    "import os, resource, subprocess, sys;"
    "hasattr(os, 'sched_setaffinity') and"
    " os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])]);"
    "subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def seconds_of(works: dict[str, Work], *, runs: int = 5) -> dict[str, list[float]]:
    """Seconds of each run of each piece of work, in turn, after one run that does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for run in range(runs + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if run:
                times[name].append(time.perf_counter() - started)
    return times


def medians(works: dict[str, Work], *, runs: int = 5) -> dict[str, float]:
    """Median seconds of each piece of work."""
    return {name: statistics.median(one) for name, one in seconds_of(works, runs=runs).items()}


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


def session_of(data: bytes, feed: Feed, threads: int = CORES) -> Work:
    """Give what runs a network in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    named = {session.get_inputs()[0].name: feed}
    return lambda: session.run(None, named)


def openvino_of(data: bytes, feed: Feed, threads: int, precision: str) -> Work:
    """Give what runs a network in OpenVINO."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(core.read_model(io.BytesIO(data)), "CPU", settings)
    running = request.create_infer_request()
    return lambda: running.infer([feed])


@dataclass(frozen=True, slots=True, kw_only=True)
class Computation:
    """A network, or one operation that shows how fast the machine is.

    Parameters
    ----------
    feed : ndarray
        What it computes on.
    precision : str
        f32, bf16 or int8: of which limit it is a part.
    count : float
        Multiply-adds.
    is_openvino : bool
        Whether OpenVINO runs it, not ONNX Runtime.
    """

    data: bytes
    feed: Feed
    precision: str
    count: float
    is_openvino: bool = False

    def work(self, threads: int) -> Work:
        """Give what runs it."""
        if self.is_openvino:
            return openvino_of(self.data, self.feed, threads, self.precision)
        return session_of(self.data, self.feed, threads)


PRODUCTS: Final = ((1024, 1024, 1024), (4096, 512, 512), (8192, 256, 256))
"""Rows, inner side and columns of products of matrices."""
CONVOLUTIONS: Final = ((64, 96, 3), (128, 64, 3), (256, 64, 1), (256, 32, 3))
"""Channels in and out, side of the image and of the kernel of convolutions."""


def operations() -> Iterator[tuple[str, Computation]]:
    """Build products and convolutions: what the machine can compute at most."""
    generator = np.random.default_rng(0)

    def model(node: str, feed: Feed, weights: dict[str, Feed], **attributes: object) -> bytes:
        kind = helper.np_dtype_to_tensor_dtype(feed.dtype)
        inputs = ["x", *weights]
        given = TensorProto.FLOAT if feed.dtype == np.float32 else None
        given = given or (TensorProto.INT32 if node == "MatMulInteger" else TensorProto.UINT8)
        graph = helper.make_graph(
            [helper.make_node(node, inputs, ["y"], **attributes)],
            "operation",
            [helper.make_tensor_value_info("x", kind, feed.shape)],
            [helper.make_tensor_value_info("y", given, None)],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        )
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()

    scale, zero = np.float32(0.02), np.uint8(128)
    for rows, inner, columns in PRODUCTS:
        count, name = float(rows) * inner * columns, f"product {rows}×{inner}×{columns}"
        feed = generator.normal(size=(rows, inner)).astype(np.float32)
        other = generator.normal(size=(inner, columns)).astype(np.float32)
        data = model("MatMul", feed, {"w": other})
        for precision, in_openvino in RUN_IN:
            yield name, Computation(data=data, feed=feed, precision=precision, count=count,
                                    is_openvino=in_openvino)  # fmt: skip
        small = generator.integers(0, 255, feed.shape, dtype=np.uint8)
        weights = {"w": generator.integers(-99, 99, other.shape, dtype=np.int8)}
        data = model("MatMulInteger", small, weights)
        yield name, Computation(data=data, feed=small, precision="int8", count=count)
    for channels, side, kernel in CONVOLUTIONS:
        count = float(side) ** 2 * channels**2 * kernel**2
        name = f"{kernel}×{kernel} convolution of {channels} channels at {side}×{side}"
        feed = generator.normal(size=(1, channels, side, side)).astype(np.float32)
        shape = (channels, channels, kernel, kernel)
        pads = {"pads": [kernel // 2] * 4}
        data = model("Conv", feed, {"w": generator.normal(size=shape).astype(np.float32)}, **pads)
        for precision, in_openvino in RUN_IN:
            yield name, Computation(data=data, feed=feed, precision=precision, count=count,
                                    is_openvino=in_openvino)  # fmt: skip
        small = generator.integers(0, 255, feed.shape, dtype=np.uint8)
        weights = {
            "x_scale": scale, "x_zero": zero,
            "w": generator.integers(-99, 99, shape, dtype=np.int8),
            "w_scale": scale, "w_zero": np.int8(0), "y_scale": scale, "y_zero": zero,
        }  # fmt: skip
        data = model("QLinearConv", small, weights, **pads)
        yield name, Computation(data=data, feed=small, precision="int8", count=count)


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


def networks(runs: int, python: Path | None) -> Iterator[str]:
    """Compare networks with each other and with the limit of the machine.

    Parameters
    ----------
    python : Path or None
        Python of an environment with ultralytics.
    """
    path = bundled_segmenter()
    ours, image = path.read_bytes(), np.full((1, 480, 640, 3), 128, np.float32)
    planes, square = (np.full((1, 3, *side), 0.5, np.float32) for side in ((480, 640), (512, 512)))
    count = multiply_adds(ours, image.shape)

    def computed(data: bytes, feed: Feed, count: float | None = None, **how: object) -> Computation:
        count = multiply_adds(data, feed.shape) if count is None else count
        return Computation(data=data, feed=feed, count=count, **{"precision": "f32"} | how)

    found = {"ours": computed(ours, image, count)}
    if (small := int8_file(path)).is_file():
        found["ours, int8"] = computed(small.read_bytes(), image, count, precision="int8")
    for precision in IN_OPENVINO:
        how = {"precision": precision, "is_openvino": True}
        found[f"ours, OpenVINO {precision}"] = computed(ours, image, count, **how)
    star = unet((32, 64, 128, 256), 33)
    found["StarDist-sized U-Net (depth 3, base 32)"] = computed(star, planes)
    for name in ("yolo11n-seg", "yolo11s-seg") if python else ():
        found[f"{name.upper()}, random weights"] = computed(yolo(python, name), planes)
    original = unet((64, 128, 256, 512, 1024), 3)
    guide = "guide's original U-Net (64…1024), at 512×512"
    slow = {guide: computed(original, square)}
    reached = list(operations())
    seconds: dict[tuple[str, int], float] = {}
    limits: dict[tuple[str, int], tuple[float, str]] = {}
    for threads in THREADS:
        works = {name: one.work(threads) for name, one in found.items()}
        works |= {f"{k}": one.work(threads) for k, (_, one) in enumerate(reached)}
        times = seconds_of(works, runs=runs)
        times |= seconds_of({guide: slow[guide].work(threads)}, runs=min(runs, 2))
        for name in (*found, guide):
            seconds[name, threads] = statistics.median(times[name])
        tried = [(f"{k}", name, one) for k, (name, one) in enumerate(reached)]
        tried += [(name, name, one) for name, one in (found | slow).items()]
        for key, name, one in tried:
            rate = one.count / min(times[key]), name
            at = one.precision, threads
            limits[at] = max(limits.get(at, rate), rate)
    yield "## Networks alone, 640×480\n"
    rows = []
    for name, one in (found | slow).items():
        times = [seconds[name, threads] for threads in THREADS]
        shares = [
            took * limits[one.precision, threads][0] / one.count
            for took, threads in zip(times, THREADS, strict=True)
        ]
        rows.append(
            (
                name,
                *(f"{1000 * took:.0f}" for took in times),
                f"{times[-1] / seconds['ours', THREADS[-1]]:.2f}",
                f"{one.count / 1e9:.1f}",
                *(f"{share:.1f}" for share in shares),
            )
        )
    said = [f"{threads} thread{'s' * (threads > 1)}" for threads in THREADS]
    yield from table(
        (
            "",
            *(f"ms, {words}" for words in said),
            "of ours, f32",
            "10⁹ multiply-adds",
            *(f"of the machine's limit, {words}" for words in said),
        ),
        *rows,
    )
    if python is None:
        yield (
            "YOLO11n-seg and 11s-seg: not measured. `make bench BENCH='--ultralytics PYTHON'` "
            "measures them with the Python of an environment of its own that has `ultralytics` "
            "(AGPL) and `onnx`.\n"
        )
    yield (
        "The limit is the time of as many multiply-adds at the highest rate that anything reached "
        "in this run at that precision and on as many threads: products of matrices, convolutions "
        "(ONNX Runtime, and OpenVINO where installed), or one of these networks.\n"
    )
    yield from table(
        ("limit", "threads", "10⁹ multiply-adds a second", "reached by"),
        *(
            (precision, threads, f"{rate / 1e9:.0f}", name)
            for (precision, threads), (rate, name) in sorted(limits.items())
        ),
    )


def yolo(python: Path, name: str) -> bytes:
    """Export a YOLO of random weights at 640×480, with another environment's Python."""
    with TemporaryDirectory() as folder:
        code = (
            "import sys; from ultralytics import YOLO;"
            "print(YOLO(sys.argv[1] + '.yaml').export(format='onnx', imgsz=(480, 640)))"
        )
        done = subprocess.run(
            [str(python), "-c", code, name],
            check=True, capture_output=True, encoding="utf-8", cwd=folder,
        )  # fmt: skip
        return (Path(folder) / done.stdout.splitlines()[-1]).read_bytes()


_CELLPOSE: Final = (
    "import sys, time, numpy; from importlib.metadata import version; from cellpose import models;"
    "model = models.CellposeModel(gpu=False); image = numpy.load(sys.argv[1]); times = []\n"
    "for _ in range(2):\n"
    "    started = time.perf_counter(); model.eval(image, diameter=95)\n"
    "    times.append(time.perf_counter() - started)\n"
    "print(f\"Cellpose {version('cellpose')} on the CPU: {min(times):.1f} s for the same image.\")"
)


def cellpose(image: np.ndarray, python: Path) -> str:
    """Say how long Cellpose takes for an image, with the Python of an environment that has it."""
    with TemporaryDirectory() as folder:
        np.save(path := Path(folder) / "image.npy", image)
        done = subprocess.run(
            [str(python), "-c", _CELLPOSE, str(path)], capture_output=True, encoding="utf-8"
        )
    if done.returncode:  # It may have to fetch weights, of which anything may go wrong.
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"Cellpose: not measured ({reason}). `--cellpose PYTHON` names an environment.\n"
    return done.stdout.splitlines()[-1] + "\n"


def pieces(runs: int, cellpose_python: Path) -> Iterator[str]:
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
    yield cellpose(image, cellpose_python)
    cells = np.random.default_rng(0).uniform(0, 255, (64, 130, 130, 3)).astype(np.float32)
    rows = []
    for kind in classifier_kinds():
        if path := bundled_classifier(kind):
            classifier = load_classifier(path, kind)
            (took,) = medians({"": lambda one=classifier: one.predict(cells)}, runs=runs).values()
            rows.append((str(kind), f"{len(cells) / took:.0f}"))
    yield from table(("classifier, one view", "cells a second"), *rows)


def bytes_a_second(path: Path) -> float:
    """Write a file to the disk, and say how fast."""
    data = os.urandom(64 << 20)
    started = time.perf_counter()
    with path.open("wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    return len(data) / (time.perf_counter() - started)


def commands(*, is_quick: bool) -> Iterator[str]:
    """Measure whole commands, from a cold start, and how they grow."""
    program = [sys.executable, "-m", "blood_cell_system"]
    rows = []
    with TemporaryDirectory() as folder:
        root = Path(folder)
        disk_rate = bytes_a_second(root / "disk")

        def measure(
            name: str, inside: Path, count: int, *, cores: int = CORES, runs: int = 3
        ) -> None:
            out, taken, peak = root / f"out{len(rows)}", [], 0.0
            words = ["analyze", "--quiet", str(inside), "-o", str(out), "--jobs", str(cores)]
            for _ in range(1 if is_quick else runs):
                started = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-c", _PEAK, str(cores), *program, *words],
                    check=True,
                    capture_output=True,
                    encoding="utf-8",
                )
                taken.append(time.perf_counter() - started)
                peak = max(peak, int(done.stdout) / 1024)
            cells = len((out / "cells.csv").read_text("utf-8").splitlines()) - 1
            took = statistics.median(taken)
            each = (f"{took / count:.3f}", f"{1000 * took / max(cells, 1):.1f}")
            written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
            share = f"{100 * written / disk_rate / took:.1f}"
            figures = (f"{peak:.0f}", f"{written / 1e6:.1f}", share)
            rows.append((name, cells, f"{took:.2f}", *each, *figures))

        def images(shape: tuple[int, int], count: int = 1, diameter: float = 95.0) -> Path:
            inside = root / f"in{len(rows)}"
            image = smear_of(shape, diameter=diameter)
            for number in range(count):
                write_image(inside / f"smear_{number:03d}.png", image)
            return inside

        for count in (1, 4, 16) if is_quick else (1, 4, 16, 48):
            measure(f"{counted(count, 'image')} of 640×480", images((480, 640), count), count)
        for cores in range(1, CORES):
            name = f"16 images of 640×480 on {cores} of {CORES} cores"
            measure(name, images((480, 640), 16), 16, cores=cores)
        for height, width in ((960, 1280), (1920, 2560), (3000, 4000)):
            measure(f"one image of {width}×{height}", images((height, width)), 1)
        for diameter in (48.0, 24.0):
            name = f"one image of 640×480, cells of {diameter:.0f} px"
            measure(name, images((480, 640), diameter=diameter), 1)
        for side in (5000,) if is_quick else (5000, 10_000):
            slide = root / f"slide{side}"
            drawing = ["synthesize", "--layout", "slide", "--size", f"{side}x{side}"]
            subprocess.run(
                [*program, *drawing, "-o", str(slide)], check=True, stdout=subprocess.DEVNULL
            )
            measure(f"a slide of {side}×{side}", slide / "slide.tif", 1, runs=1)
    yield "## `bloodcells analyze`, from a cold start\n"
    yield "Both classifiers, all files written, as many jobs as cores.\n"
    head = ("", "cells", "s", "s an image", "ms a cell", "peak MB of one process")
    yield from table((*head, "MB written", "% of s that the disk needs for them"), *rows)
    yield f"The disk writes {disk_rate / 1e6:.0f} MB a second.\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument("--quick", action="store_true", help="fewer repeats and rows")
    parser.add_argument(
        "--ultralytics",
        type=Path,
        metavar="PYTHON",
        help="Python of an environment with ultralytics and onnx: measures YOLO11 as well",
    )
    parser.add_argument(
        "--cellpose",
        type=Path,
        metavar="PYTHON",
        default=Path(sys.executable),
        help="Python of an environment with cellpose and its weights; default: this one",
    )
    options = parser.parse_args()
    runs = 1 if options.quick else 7
    started = time.perf_counter()
    packages = [f"{name} {version(name)}" for name in ("onnxruntime", "numpy", "blood-cell-system")]
    if IN_OPENVINO:
        packages.append(f"openvino {version('openvino')}")
    parts = [
        *networks(runs, options.ultralytics),
        *pieces(runs, options.cellpose),
        *commands(is_quick=options.quick),
    ]
    load = os.getloadavg()[2]
    quick = " --quick" if options.quick else ""
    text = "\n".join(
        (
            "# Benchmarks\n",
            f"Written by `python benchmarks/speed.py{quick}` in "
            f"{time.perf_counter() - started:.0f} s: {processor()}, "
            f"{CORES} cores, {platform.system()}, Python {platform.python_version()}, "
            f"{', '.join(packages)}. Load of the last quarter of an hour: {load:.1f}; with more "
            f"than 1 other programs took part of the cores. Medians of {runs} runs in turn; ratios "
            "hold on other machines better than times. Smears are drawn. What runs the networks: "
            "[speed](speed.md).\n",
            *parts,
        )
    )
    write_words(options.output, text.rstrip("\n") + "\n")
    print(text)


def processor() -> str:
    """Name the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
