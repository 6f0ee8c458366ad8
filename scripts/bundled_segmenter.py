"""Make the segmenter that comes with the package, from the data to its two files.

    python scripts/bundled_segmenter.py data  --data DIR --work WORK
    python scripts/bundled_segmenter.py train --work WORK --stage measured
    python scripts/bundled_segmenter.py label --data DIR --work WORK
    python scripts/bundled_segmenter.py train --work WORK --stage wider
    python scripts/bundled_segmenter.py train --work WORK --stage home
    python scripts/bundled_segmenter.py train --work WORK --stage shipped
    python scripts/bundled_segmenter.py export --work WORK --output src/blood_cell_system/weights

DIR holds ``BCCD_Dataset`` and ``bccd_trainval_extra`` (every cell of 181 images boxed), and for
``label`` any of ``uganda_sickle``, ``taleqani_all``, ``pbc_wbc_types``: images without outlines.
BCCD's test split is left out everywhere, also by its near copies. The stages:

1. ``measured`` learns from BCCD's train split and from drawn smears, and is chosen on val.
2. ``label`` lets that network outline the images of three other laboratories. What it is not sure
   of, or what the stain contradicts, is not scored.
3. ``wider`` goes on from ``measured`` with these images as well.
4. ``home`` goes on with BCCD twice as often and fewer invented colours. Its figures on BCCD's val
   split are honest: it has not learned from it.
5. ``shipped`` goes on for a short while, with three quarters of val to learn from.
6. ``export`` takes the mean of the weights of ``measured``, ``wider`` and ``shipped``. Training at
   home makes a network better at home and worse elsewhere; the mean keeps most of both.
   ``export --honest`` has ``home`` in the place of ``shipped``, to be measured on val.

The segmenter of ``commercial_weights`` is the network of ``train --stage measured --epochs 20``.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.self_labelling import self_label
from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.annotation.formats.voc import read_voc_folder
from blood_cell_system.annotation.sample import Annotation, Sample
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.cli.main import main as bloodcells
from blood_cell_system.cli.training_progress import TrainingProgress
from blood_cell_system.datasets.folder_build import finish_build, start_build
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.datasets.synthetic.folder import SOURCE as SYNTHETIC
from blood_cell_system.datasets.synthetic.smear import draw_smear
from blood_cell_system.datasets.synthetic.smear_settings import SmearSettings
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES, read_image, write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.masks.refine import stain_class_mask
from blood_cell_system.parallel import map_in_processes, with_progress
from blood_cell_system.seeding import generator_for
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, PLATELET, RBC, WBC
from blood_cell_system.training.fine_tuning import StartingPoint, load_starting_point
from blood_cell_system.training.presets import SegmentationSettings, preset_named
from blood_cell_system.training.segmenter_training import train_segmenter
from blood_cell_system.training.state import SEGMENTER_FILES, TrainingState

DIAMETER_PX = 64.0
"""Red cells as wide as this show all that outlines need, in 40 % of the pixels of BCCD."""

BCCD_DIAMETER_PX = 100.0
DRAWN = 160
FIRST = replace(
    preset_named("research"),
    epochs=60,
    batch_size=16,
    crops_per_epoch=640,
    crop_size_px=224,
    d_reduced=64,
    scale_range=(0.65, 1.6),
    recolour_share=0.6,
    paste_share=0.5,
    source_evenness=0.0,
    calibrates_peaks=False,
    patience=0,
)
WIDER = replace(FIRST, recolour_share=0.4, learning_rate=1.2e-3, epochs=34)
HOME = replace(FIRST, recolour_share=0.15, learning_rate=7e-4, epochs=12)
LAST = replace(HOME, learning_rate=3e-4, epochs=5)

# Settings of each stage, and the stage that it goes on from.
STAGES: Mapping[str, tuple[SegmentationSettings, str | None]] = {
    "measured": (FIRST, None),
    "wider": (WIDER, "measured"),
    "home": (HOME, "wider"),
    "shipped": (LAST, "home"),
}
# Stages of which the mean is exported, up to the last one.
AVERAGED = ("measured", "wider")
# Every so many of the validation images stays one in the last stage, to choose by.
KEPT_FOR_CHOOSING = 4
# Folder of each source, and how many images of each of its folders are taken.
FOREIGN = {
    "uganda": ("uganda_sickle", 20),
    "taleqani": ("taleqani_all", 40),
    "pbc": ("pbc_wbc_types", 24),
}
# Fields that an image of the test split shows as well, as ``bloodcells split --check`` finds.
SEEN_IN_TEST = ("BloodImage_00258", "BloodImage_00260", "BloodImage_00386")
COMMAND = "bundled_segmenter"
LABELS = {"RBC": RBC, "WBC": WBC, "Platelets": PLATELET}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An image with what is known of it, at any scale."""

    stem: str
    source: str
    split: Split
    image: NDArray[np.uint8]
    class_mask: NDArray[np.uint8]
    label_image: NDArray[np.uint16]
    cells: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """An image of another laboratory, without labels."""

    stem: str
    source: str
    path: Path
    shows_one: str | None
    shows_nuclei: bool


def resampled(example: Example, factor: float) -> Example:
    """Bring an example to another scale; labels keep their values."""
    height, width = example.class_mask.shape
    size = (round(width * factor), round(height * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    across, down = size[0] / width, size[1] / height
    return replace(
        example,
        image=cv2.resize(example.image, size, interpolation=way),
        class_mask=cv2.resize(example.class_mask, size, interpolation=cv2.INTER_NEAREST_EXACT),
        label_image=cv2.resize(example.label_image, size, interpolation=cv2.INTER_NEAREST_EXACT),
        cells=tuple(
            replace(
                cell,
                box=Box(
                    cell.x_min * across, cell.y_min * down, cell.x_max * across, cell.y_max * down
                ),
            )
            for cell in example.cells
        ),
    )


def bccd_example(sample: Sample, *, complete: Mapping[str, Sequence[Mapping[str, Any]]]) -> Example:
    """An image of BCCD at the training scale; with every cell boxed where somebody has done so."""
    given = sample.cells or ()
    if sample.stem in complete:
        given = tuple(_box(row["class"], row["bbox"]) for row in complete[sample.stem])
    image = read_image(sample.image_path)
    stain = stain_class_mask(image, given)
    cells = stain.cells
    if sample.stem in complete:
        # What no box surrounds is no cell that a person would count. It keeps its label, which
        # tells the network that there is no centre.
        cells = given
    example = Example(
        stem=sample.stem,
        source="bccd",
        split=sample.split or Split.TRAIN,
        image=image,
        class_mask=stain.class_mask,
        label_image=stain.label_image,
        cells=cells,
    )
    return resampled(example, DIAMETER_PX / BCCD_DIAMETER_PX)


def _box(label: str, corners: Sequence[float]) -> Annotation:
    x_min, y_min, x_max, y_max = corners
    return Annotation(cell_type=LABELS[label], box=Box(x_min, y_min, x_max, y_max))


def write_folder(root: Path, examples: Iterable[Example], stems: Sequence[str]) -> None:
    """Write examples as a prepared folder."""
    start_build(root, command=COMMAND, stems=stems)
    rows, cells = [], {}
    for example in with_progress(examples, total=len(stems), description=f"writing {root.name}"):
        name = f"{example.stem}.png"
        write_image(root / "images" / name, example.image)
        write_image(root / "masks" / name, encode_class_mask(example.class_mask))
        write_image(root / "instances" / name, example.label_image)
        rows.append(
            {
                "stem": example.stem,
                "split": example.split,
                "source": example.source,
                "original": example.stem,
            }
        )
        cells[example.stem] = example.cells
    files = {
        f"{kind}/{row['stem']}.png" for kind in ("images", "masks", "instances") for row in rows
    }
    finish_build(root, command=COMMAND, files=files, images=rows, cells=cells, details={})


def drawn_example(number: int) -> Example:
    """A drawn smear of any stain, with exact truth."""
    settings = SmearSettings(shape=(352, 448), cell_diameter_px=DIAMETER_PX)
    smear = draw_smear(settings, generator_for(0, COMMAND, number))
    return Example(
        stem=f"drawn_{number:03d}",
        source=SYNTHETIC,
        split=Split.TRAIN,
        image=smear.image,
        class_mask=smear.class_mask,
        label_image=smear.label_image,
        cells=smear.cells,
    )


def make_data(data: Path, work: Path) -> None:
    """Write the folder of the first stage."""
    voc = read_voc_folder(data / "BCCD_Dataset")
    samples = [
        sample
        for sample in voc.samples
        if sample.split in (Split.TRAIN, Split.VAL) and sample.stem not in SEEN_IN_TEST
    ]
    complete = json.loads((data / "bccd_trainval_extra" / "complete_boxes.json").read_text("utf-8"))
    examples = chain(
        map_in_processes(partial(bccd_example, complete=complete), samples, jobs=2),
        map_in_processes(drawn_example, range(DRAWN), jobs=2),
    )
    stems = [sample.stem for sample in samples] + [f"drawn_{i:03d}" for i in range(DRAWN)]
    write_folder(work / "data-measured", examples, stems)


def self_labelled(row: Foreign, *, model: Path) -> Example | None:
    """An image of another laboratory with what the network is sure of."""
    image = read_image(row.path)
    labels = self_label(load_runtime(model), image, trusts_nuclei=row.shows_nuclei)
    if labels is None or not labels.cells:
        return None
    class_mask, label_image, cells = labels.class_mask, labels.label_image, labels.cells
    if row.shows_one is not None:
        cells = with_known_middle(class_mask, label_image, cells, row.shows_one)
    example = Example(
        stem=row.stem,
        source=row.source,
        split=Split.TRAIN,
        image=image,
        class_mask=class_mask,
        label_image=label_image,
        cells=cells,
    )
    return resampled(example, DIAMETER_PX / labels.red_cell_diameter_px)


def with_known_middle(
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.uint16],
    cells: tuple[Annotation, ...],
    known: str,
) -> tuple[Annotation, ...]:
    """Give the cell in the middle the type that it is known to have, in place in mask and labels.

    Where none was found, or a red one, nothing is scored in the middle.
    """
    height, width = class_mask.shape
    label = int(label_image[height // 2, width // 2])
    if label and cells[label - 1].cell_type != RBC:
        class_mask[label_image == label] = BUILT_IN.mask_classes[known]
        relabelled = replace(cells[label - 1], cell_type=known)
        return (*cells[: label - 1], relabelled, *cells[label:])
    radius = round(0.3 * min(height, width))
    for image, value in ((class_mask, NOT_SCORED), (label_image, 0)):
        cv2.circle(image, (width // 2, height // 2), radius, (value,), -1)
    return cells


def foreign_images(data: Path) -> list[Foreign]:
    """Some of the images of every laboratory without outlines, spread over all of them."""
    found = []
    for source, (folder, count) in FOREIGN.items():
        for part in sorted(path for path in (data / folder).glob("*") if path.is_dir()):
            paths = sorted(
                path
                for path in part.iterdir()
                if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
            )
            for path in paths[:: max(1, len(paths) // count)][:count]:
                stem = f"{source}_{part.name}_{path.stem}".replace(" ", "_")
                known = PLATELET if part.name == "platelet" else WBC
                found.append(
                    Foreign(
                        stem=stem,
                        source=source,
                        path=path,
                        shows_one=known if source == "pbc" else None,
                        shows_nuclei=source == "taleqani",
                    )
                )
    return found


def label(data: Path, work: Path) -> None:
    """Write the folder of the later stages: the first one's images and the self-labelled ones."""
    model = work / "measured" / "segmentation_model.onnx"
    bloodcells(
        [
            "export",
            "--model",
            str(work / "measured" / SEGMENTER_FILES.model),
            "--output",
            str(model),
        ]
    )
    rows = foreign_images(data)
    found = map_in_processes(partial(self_labelled, model=model), rows, jobs=2)
    examples = [
        example
        for example in with_progress(found, total=len(rows), description="labelling")
        if example
    ]
    write_folder(work / "data-foreign", examples, [example.stem for example in examples])


def dataset_of(work: Path, stage: str) -> PreparedDataset:
    """Images that a stage learns from and is chosen by."""
    dataset = PreparedDataset.open(work / "data-measured")
    if stage == "measured":
        return dataset
    foreign = PreparedDataset.open(work / "data-foreign").images
    images = [image for image in dataset.images if image.source != SYNTHETIC]
    if stage == "wider":
        # Real images of other laboratories take the place of half of the drawn ones.
        drawn = [image for image in dataset.images if image.source == SYNTHETIC]
        images += [*drawn[::2], *foreign]
    else:
        at_home = [image for image in images if image.split == Split.TRAIN]
        images += [replace(image, stem=f"{image.stem}_twice") for image in at_home]
        images += foreign[1::2]
    if stage == "shipped":
        stems = sorted(image.stem for image in images if image.split == Split.VAL)
        kept = set(stems[::KEPT_FOR_CHOOSING])
        images = [
            image
            if image.split != Split.VAL or image.stem in kept
            else replace(image, split=Split.TRAIN)
            for image in images
        ]
    return replace(dataset, images=tuple(images))


def train(work: Path, stage: str, *, epochs: int | None) -> None:
    """Train one stage, or go on with it; ``epochs`` in place of its own number of them."""
    settings, before = STAGES[stage]
    settings = replace(settings, epochs=epochs or settings.epochs)
    runs = work / stage
    state = runs / SEGMENTER_FILES.state
    with TrainingProgress(settings) as progress:
        train_segmenter(
            dataset_of(work, stage),
            settings,
            checkpoint_dir=runs,
            log_dir=runs / "logs",
            resume=TrainingState.load(state) if state.is_file() else None,
            listener=progress,
            start=None
            if before is None
            else load_starting_point(work / before / SEGMENTER_FILES.model),
        )


def begun_with(work: Path, stage: str) -> StartingPoint:
    """Open the model of a stage."""
    return load_starting_point(work / stage / SEGMENTER_FILES.model)


def export(work: Path, output: Path, *, last: str) -> None:
    """Write the mean of some stages' weights as both files."""
    stages = [
        load_starting_point(work / stage / SEGMENTER_FILES.model).model
        for stage in (*AVERAGED, last)
    ]
    weights = [stage.get_weights() for stage in stages]
    model = stages[-1]
    model.set_weights([np.mean(same, axis=0) for same in zip(*weights, strict=True)])
    output.mkdir(parents=True, exist_ok=True)
    path = output / "segmentation_model.keras"
    model.save(path)
    bloodcells(["export", "--model", str(path), "--output", str(path.with_suffix(".onnx"))])


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("data", "train", "label", "export"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage", choices=tuple(STAGES), default="measured")
    parser.add_argument("--epochs", type=int, help="in place of the stage's own number")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--honest", action="store_true", help="export what never saw val")
    options = parser.parse_args()
    if options.task == "data":
        make_data(options.data, options.work)
    elif options.task == "label":
        label(options.data, options.work)
    elif options.task == "train":
        train(options.work, options.stage, epochs=options.epochs)
    elif options.task == "export":
        export(options.work, options.output, last="home" if options.honest else "shipped")


if __name__ == "__main__":
    main()
