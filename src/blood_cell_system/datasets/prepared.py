"""The prepared folder: what every later step reads.

::

    data/segmentation/
    ├── images/img_001.png
    ├── masks/img_001.png        the guide's RGB mask format, same file name
    ├── instances/img_001.png    optional: 16-bit label image, 0 background, 1..n cells
    ├── annotations.json         optional: the cells' boxes
    ├── manifest.json            optional: splits, origins, settings, what was dropped; cell types
    │                            that are not the built-in ones
    └── unfinished.json          only while a command writes the folder, or after it was killed

Only the first two are required, so that a folder made by hand works as well. Pairs are found by the
stem of the file name; without a manifest ``a_aug1`` is taken for a copy of ``a``, if that is there.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator
from scipy import ndimage

import blood_cell_system
from blood_cell_system.annotation.outline import Outline, PixelOutline
from blood_cell_system.annotation.sample import Annotation, Origin, Sample
from blood_cell_system.annotation.splits import Split
from blood_cell_system.annotation.text_files import shortened
from blood_cell_system.atomic_files import write_json
from blood_cell_system.boxes import Box
from blood_cell_system.errors import DatasetError, MaskFormatError, MissingDataError, value_words
from blood_cell_system.imaging.image_file import (
    copy_file,
    read_file_bytes,
    read_image,
    read_image_shape,
    read_label_image,
)
from blood_cell_system.imaging.image_folders import images_directly_in
from blood_cell_system.imaging.mask_encoding import decode_class_mask
from blood_cell_system.imaging.resampling import Resampler
from blood_cell_system.input_files import read_json
from blood_cell_system.seeding import generator_for
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, Taxonomy
from blood_cell_system.wording import counted

FORMAT_VERSION: Final = 1  # Of manifest.json, annotations.json and unfinished.json.


def write_annotations(root: Path, cells_by_stem: Mapping[str, Iterable[Annotation]]) -> None:
    """Write ``annotations.json`` of a prepared folder."""
    images = {
        stem: [
            {
                "cell_type": str(cell.cell_type),
                "bbox": [cell.x_min, cell.y_min, cell.x_max, cell.y_max],
                "origin": str(cell.origin),
            }
            for cell in cells
        ]
        for stem, cells in cells_by_stem.items()
    }
    write_json(root / "annotations.json", {"format_version": FORMAT_VERSION, "images": images})


def write_manifest(
    root: Path, images: Sequence[Mapping[str, Any]], details: Mapping[str, Any]
) -> None:
    """Write ``manifest.json`` of a prepared folder: the last file, which says that it is whole.

    Parameters
    ----------
    images : sequence of mapping
        Of every image ``stem``, ``split``, ``source`` and ``original``, and what else there is.
    details : mapping
        Whatever else there is to know: ``command``, ``settings``, ``seed``, ``source_hash``,
        ``dropped`` and so on. No times of day: equal input gives an equal file.
    """
    manifest = {
        "format_version": FORMAT_VERSION,
        "software_version": blood_cell_system.__version__,
        **details,
        "images": sorted(images, key=lambda row: str(row["stem"])),
    }
    write_json(root / "manifest.json", manifest)


class ManifestRow(BaseModel):
    """What the manifest says of an image; the fields are those of :class:`PreparedImage`."""

    model_config = ConfigDict(frozen=True)

    stem: str
    split: Split | None = None
    source: str = "unknown"
    original: str = ""
    """Empty for an original, which then is written with its own stem."""
    unmarked_types: tuple[str, ...] = ()
    group: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, row: Any) -> Any:
        if not isinstance(row, Mapping):
            return row
        return {name: value for name, value in row.items() if value not in (None, "")}

    def to_json(self) -> dict[str, Any]:
        """Give the row as it is written, without types and group where there are none."""
        row = self.model_dump(mode="json", exclude={"unmarked_types", "group"})
        further = {"unmarked_types": list(self.unmarked_types), "group": self.group}
        known = {name: value for name, value in further.items() if value}
        return row | {"original": self.original or self.stem} | known


def read_versioned_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a prepared folder; an empty object where there is none.

    Raises
    ------
    DatasetError
        The file is not JSON, or of another version of the format.
    """
    # What is there but no file is refused: its cells and splits would be missing without a word.
    if not os.path.lexists(path):
        return {}
    value = read_json(
        path,
        remedy="Prepare the folder again, or remove the file.",
        parse_constant=_refuse_constant,
    )
    if not isinstance(value, dict) or value.get("format_version") != FORMAT_VERSION:
        raise DatasetError(
            f"{path}: expected an object with format_version {FORMAT_VERSION}. "
            "Prepare the folder again with this version."
        )
    return value


def taxonomy_in(manifest: Mapping[str, Any], path: Path) -> Taxonomy:
    """Cell types of a prepared folder, by its manifest; the built-in ones where it has none.

    Raises
    ------
    DatasetError
        They cannot be read.
    """
    if "taxonomy" not in manifest:
        return BUILT_IN
    try:
        return Taxonomy.from_dict(manifest["taxonomy"])
    except ValueError as error:
        raise DatasetError(
            f"{path}: 'taxonomy' cannot be read ({error}). Prepare the folder again."
        ) from error


def files_by_stem(folder: Path) -> dict[str, Path]:
    """Images of a folder by the stem of their names, as ``images_directly_in`` lists them.

    Raises
    ------
    DatasetError
        Two images have the same stem.
    """
    found: dict[str, Path] = {}
    for path in images_directly_in(folder):
        if path.stem in found:
            raise DatasetError(
                f"{folder}: {found[path.stem].name} and {path.name} differ in nothing but their "
                "ending; expected one image a name. Rename or remove one."
            )
        found[path.stem] = path
    return found


def is_prepared_folder(root: Path) -> bool:
    """Whether a folder has what every prepared one has: images and masks."""
    return (root / "images").is_dir() and (root / "masks").is_dir()


def taxonomy_of_folder(root: Path) -> Taxonomy:
    """Cell types of a prepared folder; the built-in ones of any other. Raises as ``open``."""
    path = root / "manifest.json"
    return taxonomy_in(read_versioned_json(path), path) if (root / "masks").is_dir() else BUILT_IN


def read_annotations(
    root: Path, taxonomy: Taxonomy = BUILT_IN
) -> dict[str, tuple[Annotation, ...]]:
    """Read ``annotations.json`` of a prepared folder; nothing where there is none.

    Returns
    -------
    dict of str to tuple of Annotation
        By stem; a stem that is not there is an image about whose cells nothing is known.

    Raises
    ------
    DatasetError
        The file is not JSON, of another version of the format, or a cell cannot be read.
    """
    path = root / "annotations.json"
    try:
        return {
            stem: tuple(cell_of_row(row, taxonomy) for row in rows)
            for stem, rows in read_versioned_json(path).get("images", {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(
            f"{path}: a cell cannot be read ({value_words(error)}); expected 'cell_type' of "
            f"{list(taxonomy.names)} and 'bbox' [x_min, y_min, x_max, y_max]."
        ) from error


def cell_of_row(row: Mapping[str, Any], taxonomy: Taxonomy) -> Annotation:
    """Read a cell of ``annotations.json``; raises what values of other kinds lead to."""
    x_min, y_min, x_max, y_max = map(float, row["bbox"])
    return Annotation(
        cell_type=taxonomy.checked(row["cell_type"]),
        box=Box(x_min, y_min, x_max, y_max),
        origin=Origin(row.get("origin", Origin.ANNOTATED)),
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which is not JSON")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """One image with everything that is known of it.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, 3), dtype uint8
    class_mask : ndarray of shape (height, width), dtype uint8
    label_image : ndarray of shape (height, width), dtype uint16, or None
    unmarked_types : tuple of str
        Types that may be there without a box.
    """

    pixels: NDArray[np.uint8]
    class_mask: NDArray[np.uint8]
    label_image: NDArray[np.uint16] | None
    cells: tuple[Annotation, ...] | None
    unmarked_types: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Memory taken by the arrays."""
        labels = 0 if self.label_image is None else self.label_image.nbytes
        return self.pixels.nbytes + self.class_mask.nbytes + labels


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    """One image of a prepared folder, with where its labels are.

    Parameters
    ----------
    stem : str
        File name without its suffix.
    instance_path : Path or None
        Label image, where the exact outlines of single cells are known.
    source : str
        Data set that the image comes from.
    original : str
        Stem of the image that this one is an augmented copy of; its own stem for an original.
    cells : tuple of Annotation or None
        Boxes in pixels; None where nobody has said where the cells are.
    unmarked_types : tuple of str
        Types that may be in the image without a box: a data set that marks no platelets does not
        say that there are none.
    group : str or None
        Slide or patient, where that is known.
    """

    stem: str
    image_path: Path
    mask_path: Path
    instance_path: Path | None = None
    split: Split | None = None
    source: str = "unknown"
    original: str
    cells: tuple[Annotation, ...] | None = None
    unmarked_types: tuple[str, ...] = ()
    group: str | None = None

    @property
    def is_augmented(self) -> bool:
        """Whether this is an augmented copy."""
        return self.original != self.stem

    def manifest_row(self) -> dict[str, Any]:
        """Give what the manifest says of this image."""
        names = ManifestRow.model_fields
        return ManifestRow(**{name: getattr(self, name) for name in names}).to_json()

    def copy_files(self, folder: Path, *, stem: str) -> tuple[str, ...]:
        """Copy image, mask and label image into another prepared folder, byte for byte.

        Image and mask are read before: a damaged one is not passed on.

        Parameters
        ----------
        stem : str
            Name of the copies.

        Returns
        -------
        tuple of str
            Names of the copies within the folder.

        Raises
        ------
        MissingDataError, ImageReadError
            A file has gone, or cannot be read.
        MaskFormatError
            As :meth:`read`.
        OutputError
            A copy cannot be written.
        """
        paths = {
            "images": self.image_path,
            "masks": self.mask_path,
            "instances": self.instance_path,
        }
        files = {
            f"{kind}/{stem}{path.suffix}": path for kind, path in paths.items() if path is not None
        }
        self.read()
        for name, path in files.items():
            copy_file(path, folder / name)
        return tuple(files)

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Read the image and its class mask.

        Returns
        -------
        image : ndarray of shape (height, width, 3), dtype uint8
        class_mask : ndarray of shape (height, width), dtype uint8

        Raises
        ------
        ImageReadError
            One of the two cannot be read.
        MaskFormatError
            The mask is outside the format, or of another size than the image.
        """
        image = read_image(self.image_path)
        try:
            class_mask = decode_class_mask(read_image(self.mask_path))
        except MaskFormatError as error:
            raise MaskFormatError(f"{self.mask_path}: {error}") from error
        if class_mask.shape != image.shape[:2]:
            raise MaskFormatError(
                f"{self.mask_path}: the mask has (height, width) {class_mask.shape}, the image "
                f"{image.shape[:2]}; expected the same size. Make the mask again, or leave out "
                "both."
            )
        return image, class_mask

    def decoded(self, *, magnification: float = 1.0) -> DecodedImage:
        """Read everything that is known of the image, resampled by a magnification.

        Raises
        ------
        ImageReadError, MaskFormatError
            As :meth:`read`, also of the label image.
        """
        pixels, class_mask = self.read()
        label_image = None
        if self.instance_path is not None:
            label_image = read_label_image(self.instance_path)
            if label_image.shape != class_mask.shape:
                raise MaskFormatError(
                    f"{self.instance_path}: has (height, width) {label_image.shape}, the image "
                    f"{class_mask.shape}; expected the same size. Make the folder again, or "
                    "remove instances/."
                )
        cells = self.cells
        if magnification != 1:
            resampler = Resampler.by(magnification, class_mask.shape)
            new_mask = resampler.class_mask(class_mask)
            if label_image is not None:
                label_image = resampler.label_image(label_image, class_mask, new_mask)
            pixels, class_mask = resampler.image(pixels), new_mask
            if cells is not None:
                cells = tuple(replace(cell, box=resampler.box(cell.bounds)) for cell in cells)
        return DecodedImage(
            pixels=pixels,
            class_mask=class_mask,
            label_image=label_image,
            cells=cells,
            unmarked_types=self.unmarked_types,
        )


UNFINISHED_NAME: Final = "unfinished.json"

_HELD_OUT_SHARE: Final = 0.15
"""Of the originals without a split, for validation and for the test each."""

# How bloodcells augment names its copies.
_COPY_NAME: Final = re.compile(r"(.+)_aug\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDataset:
    """A prepared folder, opened.

    Parameters
    ----------
    images : tuple of PreparedImage
        Ordered by stem.
    details : mapping of str
        Everything else of the manifest: settings, versions, seed, hash, what was dropped.
    """

    root: Path
    images: tuple[PreparedImage, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    taxonomy: Taxonomy = BUILT_IN

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open a prepared folder.

        Raises
        ------
        MissingDataError
            The folder, or its images/ or masks/, is not there.
        DatasetError
            It has no pairs, images without masks, a manifest that does not fit, or was left
            unfinished by a command that was killed.
        """
        root = Path(root)
        for folder in (root, root / "images", root / "masks"):
            if not folder.is_dir():
                raise MissingDataError(
                    f"{folder}: there is no such folder. Expected a prepared folder with images/ "
                    "and masks/; make one with prepare_segmentation_data.py --mode bccd."
                )
        if (root / UNFINISHED_NAME).exists():
            raise DatasetError(
                f"{root}: the command that writes this folder has not finished; expected a whole "
                "folder. Run it again with the same --output: it completes the folder."
            )
        image_paths = files_by_stem(root / "images")
        mask_paths = files_by_stem(root / "masks")
        if not image_paths:
            raise DatasetError(f"{root / 'images'}: no images in this folder.")
        alone = sorted(image_paths.keys() ^ mask_paths.keys())
        if alone:
            raise DatasetError(
                f"{root}: {counted(len(alone), 'file')} without a partner, for instance "
                f"{alone[:3]}; "
                "expected a mask for every image, with the same file name. "
                "See all with bloodcells verify."
            )
        instance_folder = root / "instances"
        instance_paths = files_by_stem(instance_folder) if instance_folder.is_dir() else {}
        manifest = read_versioned_json(root / "manifest.json")
        taxonomy = taxonomy_in(manifest, root / "manifest.json")
        rows = _manifest_rows(manifest, root, set(image_paths), taxonomy)
        cells = read_annotations(root, taxonomy)
        images = []
        for stem in sorted(image_paths):
            row = rows.get(stem)
            original = stem if rows else original_by_name(stem, image_paths)
            images.append(
                PreparedImage(
                    stem=stem,
                    image_path=image_paths[stem],
                    mask_path=mask_paths[stem],
                    instance_path=instance_paths.get(stem),
                    original=(row.original if row else "") or original,
                    cells=cells.get(stem),
                    **(row.model_dump(exclude={"stem", "original"}) if row else {}),
                )
            )
        details = {
            key: value for key, value in manifest.items() if key not in ("images", "taxonomy")
        }
        return cls(root=root, images=tuple(images), details=details, taxonomy=taxonomy)

    def of_split(self, split: Split) -> tuple[PreparedImage, ...]:
        """Images of a split; of validation and test, originals only."""
        return tuple(
            image
            for image in self.images
            if image.split == split and (split == Split.TRAIN or not image.is_augmented)
        )

    def with_splits(self, seed: int) -> Self:
        """Give images without a split one, drawn by originals, so that copies stay together.

        15 % of the originals are for validation and as many for the test; the rest is learned from.
        With three originals or more, none of the three is empty.

        Returns
        -------
        PreparedDataset
            This one when every image has its split already.
        """
        if all(image.split is not None for image in self.images):
            return self
        known = {image.original: image.split for image in self.images if image.split is not None}
        originals = sorted({image.original for image in self.images} - known.keys())
        order = generator_for(seed, "split").permutation(len(originals))
        count = len(originals)
        val_count = test_count = max(1, round(count * _HELD_OUT_SHARE))
        if count < 3:
            val_count, test_count = min(count - 1, 1), 0
        drawn = [Split.VAL] * val_count + [Split.TEST] * test_count
        drawn += [Split.TRAIN] * (count - len(drawn))
        for position, split in zip(order, drawn, strict=True):
            known[originals[position]] = split
        images = tuple(
            replace(image, split=image.split or known[image.original]) for image in self.images
        )
        return replace(self, images=images)

    def limited(self, count: int, *, seed: int) -> Self:
        """Keep ``count`` originals of the training split, with their copies, drawn by the seed.

        Raises
        ------
        DatasetError
            There are fewer, or ``count`` is not positive.
        """
        originals = sorted({image.original for image in self.of_split(Split.TRAIN)})
        if not 0 < count <= len(originals):
            raise DatasetError(
                f"{self.root}: {counted(count, 'image')} wanted; the training split has "
                f"{len(originals)} originals. Ask for 1 to {len(originals)}."
            )
        order = generator_for(seed, "limit").permutation(len(originals))
        kept = {originals[position] for position in order[:count]}
        images = tuple(
            image for image in self.images if image.split != Split.TRAIN or image.original in kept
        )
        return replace(self, images=images)

    def content_hash(self) -> str:
        """SHA-256 over all that can be learned from: files, boxes, splits and names, by stem."""
        digest = hashlib.sha256()
        if self.taxonomy != BUILT_IN:
            digest.update(json.dumps(self.taxonomy.to_dict(), sort_keys=True).encode())
        for image in self.images:
            paths = (image.image_path, image.mask_path, image.instance_path)
            # Every part has one length, so that no byte can move from one to the next unseen.
            parts = [hashlib.sha256(read_file_bytes(path)).digest() for path in paths if path]
            parts.append(hashlib.sha256(_hashed_words(image).encode()).digest())
            digest.update(hashlib.sha256(b"".join(parts)).digest())
        return digest.hexdigest()


def _hashed_words(image: PreparedImage) -> str:
    """Write the labels of an image out for its hash, field by field.

    This is the text that version 0.2.0 hashed, so that the hashes in its records still hold.
    """
    words = [
        repr(image.stem),
        "None" if image.split is None else enum_text("Split", image.split),
        repr(image.source),
        repr(image.original),
        "None" if image.cells is None else tuple_text(map(_cell_text, image.cells)),
    ]
    if image.unmarked_types:
        words.append(tuple_text(enum_text("CellType", name) for name in image.unmarked_types))
    return tuple_text(words)


def _cell_text(cell: Annotation) -> str:
    return (
        f"LabelledBox(cell_type={enum_text('CellType', cell.cell_type)}, x_min={cell.x_min!r}, "
        f"y_min={cell.y_min!r}, x_max={cell.x_max!r}, y_max={cell.y_max!r}, "
        f"origin={enum_text('BoxOrigin', cell.origin)})"
    )


def enum_text(class_name: str, value: str) -> str:
    """Write a name out as a member of an enum, as version 0.2.0 hashed it.

    Examples
    --------
    >>> enum_text("Split", "train")
    "<Split.TRAIN: 'train'>"
    """
    return f"<{class_name}.{value.upper()}: {str(value)!r}>"


def tuple_text(words: Iterable[str]) -> str:
    """Write a tuple out whose members are written already."""
    several = list(words)
    return f"({', '.join(several)}{',' if len(several) == 1 else ''})"


def _manifest_rows(
    manifest: Mapping[str, Any], root: Path, stems: set[str], taxonomy: Taxonomy
) -> dict[str, ManifestRow]:
    entry = listed = manifest.get("images", [])
    rows = {}
    try:
        for entry in listed:
            row = ManifestRow.model_validate(entry)
            rows[row.stem] = row
            for name in row.unmarked_types:
                taxonomy.checked(name)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{root / 'manifest.json'}: an entry of 'images' cannot be read: {shortened(entry)} "
            f"({value_words(error)}); expected 'stem' and a 'split' of {[str(s) for s in Split]}. "
            "Prepare the folder again."
        ) from error
    if len(rows) < len(listed):
        raise DatasetError(
            f"{root / 'manifest.json'}: lists {counted(len(listed) - len(rows), 'image')} "
            "twice; expected "
            "one entry an image. Prepare the folder again."
        )
    missing = sorted(rows.keys() - stems)
    if missing:
        raise DatasetError(
            f"{root / 'manifest.json'}: lists "
            f"{counted(len(missing), 'image that is', 'images that are')} not in images/, for "
            f"instance {missing[:3]}. Prepare the folder again."
        )
    return rows


def original_by_name(stem: str, stems: Collection[str]) -> str:
    """Stem of what an image is a copy of, by its name, where no manifest says it.

    Examples
    --------
    >>> original_by_name("a_aug1", {"a", "a_aug1"}), original_by_name("b_aug1", {"b_aug1"})
    ('a', 'b_aug1')
    """
    found = _COPY_NAME.fullmatch(stem)
    return found[1] if found and found[1] in stems else stem


def prepared_samples(dataset: PreparedDataset, *, with_unscored: bool = False) -> Iterator[Sample]:
    """Give the images of a prepared folder one at a time.

    Parameters
    ----------
    with_unscored : bool
        Whether regions that are not scored come along, each in one piece.

    Yields
    ------
    Sample
        A cell has its outline where the label image shows it, else its box, and its centre alone
        where the size of its box is a guess.

    Raises
    ------
    ImageReadError, MaskFormatError
        An image, its mask or its label image cannot be read.
    DatasetError
        A label image does not fit its image or its boxes.
    """
    for image in dataset.images:
        shape = read_image_shape(image.image_path)
        yield Sample(
            stem=image.stem,
            image_path=image.image_path,
            shape=shape,
            cells=None if image.cells is None else tuple(_cells(image, image.cells, shape)),
            unscored=_unscored(image) if with_unscored else (),
            split=image.split,
        )


def _cells(
    image: PreparedImage, boxes: tuple[Annotation, ...], shape: tuple[int, int]
) -> Iterator[Annotation]:
    outlines = _outlines(image, len(boxes), shape)
    for number, box in enumerate(boxes, start=1):
        outline = outlines.get(number)
        if outline is None and box.origin is Origin.POINT:
            yield Annotation(cell_type=box.cell_type, point=box.centre, origin=box.origin)
            continue
        yield Annotation(
            cell_type=box.cell_type, box=box.bounds, outline=outline, origin=box.origin
        )


def _outlines(image: PreparedImage, count: int, shape: tuple[int, int]) -> dict[int, Outline]:
    """Read outlines by the value of their pixels."""
    if image.instance_path is None:
        return {}
    labels = read_label_image(image.instance_path)
    if labels.shape != shape or labels.max(initial=0) > count:
        raise DatasetError(
            f"{image.instance_path}: has (height, width) {labels.shape} and labels up to "
            f"{labels.max(initial=0)}; expected {shape}, and at most the "
            f"{counted(count, 'cell')} of "
            "annotations.json. Prepare the folder again."
        )
    return {
        number: PixelOutline.from_pixels(
            labels[place] == number, offset=(place[1].start, place[0].start)
        )
        for number, place in enumerate(ndimage.find_objects(labels), start=1)
        if place is not None
    }


def _unscored(image: PreparedImage) -> tuple[Outline, ...]:
    _, class_mask = image.read()
    labels, _ = ndimage.label(class_mask == NOT_SCORED, structure=np.ones((3, 3)))
    return tuple(
        PixelOutline.from_pixels(labels[place] == number, offset=(place[1].start, place[0].start))
        for number, place in enumerate(ndimage.find_objects(labels), start=1)
    )
