"""The prepared folder: what every later step reads.

::

    data/segmentation/
    ├── images/img_001.png
    ├── masks/img_001.png        the guide's RGB mask format, same file name
    ├── instances/img_001.png    optional: 16-bit label picture, 0 background, 1..n cells
    ├── annotations.json         optional: the cells' boxes
    ├── manifest.json            optional: splits, origins, settings, what was dropped
    └── unfinished.json          only while a command writes the folder, or after it was killed

Only the first two are required, so that a folder made by hand works as well. Pairs are found by the
stem of the file name; without a manifest ``a_aug1`` is taken for a copy of ``a``, if that is there.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from blood_cell_system.classes import CellType
from blood_cell_system.datasets.prepared_image import PreparedImage, Split
from blood_cell_system.datasets.prepared_json import (
    FORMAT_VERSION,
    read_annotations,
    read_versioned_json,
    write_annotations,
    write_manifest,
)
from blood_cell_system.errors import DatasetError, MissingDataError
from blood_cell_system.image_io import IMAGE_SUFFIXES, read_file_bytes
from blood_cell_system.seeding import generator_for

__all__ = [
    "FORMAT_VERSION",
    "UNFINISHED_NAME",
    "PreparedDataset",
    "PreparedImage",
    "Split",
    "files_by_stem",
    "original_by_name",
    "read_versioned_json",
    "write_annotations",
    "write_manifest",
]

UNFINISHED_NAME: Final = "unfinished.json"

_HELD_OUT_SHARE: Final = 0.15
"""Of the originals without a split, for validation and for the test each."""

# How --mode augment names its copies.
_COPY_NAME: Final = re.compile(r"(.+)_aug\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDataset:
    """A prepared folder, opened.

    Parameters
    ----------
    root : Path
    images : tuple of PreparedImage
        Ordered by stem.
    details : mapping of str
        Everything else of the manifest: settings, versions, seed, hash, what was dropped.
    """

    root: Path
    images: tuple[PreparedImage, ...]
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open a prepared folder.

        Raises
        ------
        MissingDataError
            The folder, or its images/ or masks/, is not there.
        DatasetError
            It has no pairs, pictures without masks, a manifest that does not fit, or was left
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
            raise DatasetError(f"{root / 'images'}: no pictures in this folder.")
        alone = sorted(image_paths.keys() ^ mask_paths.keys())
        if alone:
            raise DatasetError(
                f"{root}: {len(alone)} files without their partner, for instance {alone[:3]}; "
                "expected a mask for every picture, with the same file name. "
                "See all with --mode verify."
            )
        instance_folder = root / "instances"
        instance_paths = files_by_stem(instance_folder) if instance_folder.is_dir() else {}
        manifest = read_versioned_json(root / "manifest.json")
        rows = _manifest_rows(manifest, root, set(image_paths))
        cells = read_annotations(root)
        images = []
        for stem in sorted(image_paths):
            row = rows.get(stem, {})
            images.append(
                PreparedImage(
                    stem=stem,
                    image_path=image_paths[stem],
                    mask_path=mask_paths[stem],
                    instance_path=instance_paths.get(stem),
                    split=Split(row["split"]) if row.get("split") else None,
                    source=row.get("source", "unknown"),
                    original=row.get("original")
                    or (stem if rows else original_by_name(stem, image_paths)),
                    cells=cells.get(stem),
                    unmarked_types=tuple(map(CellType, row.get("unmarked_types", ()))),
                    group=row.get("group"),
                )
            )
        details = {key: value for key, value in manifest.items() if key != "images"}
        return cls(root=root, images=tuple(images), details=details)

    def of_split(self, split: Split) -> tuple[PreparedImage, ...]:
        """Pictures of a split; of validation and test, originals only."""
        return tuple(
            image
            for image in self.images
            if image.split == split and (split == Split.TRAIN or not image.is_augmented)
        )

    def with_splits(self, seed: int) -> Self:
        """Give pictures without a split one, drawn by originals, so that copies stay together.

        15 % of the originals are for validation and as many for the test; the rest is learned from.
        With three originals or more, none of the three is empty.

        Parameters
        ----------
        seed : int

        Returns
        -------
        PreparedDataset
            This one when every picture has its split already.
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
                f"{self.root}: {count} pictures asked for; the training split has "
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
        for image in self.images:
            paths = (image.image_path, image.mask_path, image.instance_path)
            # Every part has one length, so that no byte can move from one to the next unseen.
            parts = [hashlib.sha256(read_file_bytes(path)).digest() for path in paths if path]
            words: tuple[Any, ...] = (
                image.stem,
                image.split,
                image.source,
                image.original,
                image.cells,
            )
            if image.unmarked_types:
                words += (image.unmarked_types,)
            parts.append(hashlib.sha256(repr(words).encode()).digest())
            digest.update(hashlib.sha256(b"".join(parts)).digest())
        return digest.hexdigest()


def files_by_stem(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by the stem of their names; hidden files are passed over.

    Raises
    ------
    DatasetError
        Two pictures have the same stem.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        if path.is_dir():
            continue
        if path.stem in found:
            raise DatasetError(
                f"{folder}: {found[path.stem].name} and {path.name} differ in nothing but their "
                "ending; expected one picture a name. Rename or remove one."
            )
        found[path.stem] = path
    return found


def _manifest_rows(
    manifest: Mapping[str, Any], root: Path, stems: set[str]
) -> dict[str, dict[str, Any]]:
    listed = manifest.get("images", [])
    try:
        rows = {row["stem"]: row for row in listed}
        for row in listed:
            Split(row.get("split") or Split.TRAIN)
            _ = [CellType(name) for name in row.get("unmarked_types", ())]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{root / 'manifest.json'}: an entry of 'images' cannot be read ({error!r}); expected "
            f"'stem' and a 'split' of {[str(s) for s in Split]}. Prepare the folder again."
        ) from error
    if len(rows) < len(listed):
        raise DatasetError(
            f"{root / 'manifest.json'}: lists {len(listed) - len(rows)} pictures twice; expected "
            "one entry a picture. Prepare the folder again."
        )
    missing = sorted(rows.keys() - stems)
    if missing:
        raise DatasetError(
            f"{root / 'manifest.json'}: lists {len(missing)} pictures that are not in images/, for "
            f"instance {missing[:3]}. Prepare the folder again."
        )
    return rows


def original_by_name(stem: str, stems: Collection[str]) -> str:
    """Stem of what a picture is a copy of, as its name tells where no manifest does.

    Examples
    --------
    >>> original_by_name("a_aug1", {"a", "a_aug1"}), original_by_name("b_aug1", {"b_aug1"})
    ('a', 'b_aug1')
    """
    found = _COPY_NAME.fullmatch(stem)
    return found[1] if found and found[1] in stems else stem
