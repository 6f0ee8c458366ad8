"""Folders of images in which the folder's name is the label, such as PBC's and Taleqani's."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from blood_cell_system.annotation.sample import FailedImage
from blood_cell_system.datasets.cell_blocks import blocks_of_names
from blood_cell_system.datasets.cell_fields import CellField, FieldReading, images_in, readable
from blood_cell_system.errors import DatasetError, MissingDataError
from blood_cell_system.imaging.image_folders import is_left_behind


def read_labelled_folders(
    root: Path,
    *,
    source: str,
    licence: str,
    labels: Sequence[str],
    block_size: int,
    block_pattern: str | None = None,
) -> FieldReading:
    """Read a folder for each label; neighbouring names of a label make a block.

    Parameters
    ----------
    labels : sequence of str
        Names of the folders; those that are not there are passed over.
    block_size, block_pattern
        As of ``blocks_of_names``.

    Raises
    ------
    MissingDataError
        There is no such folder.
    DatasetError
        None of the labels has a folder, there is a folder of another name, or one is empty.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingDataError(
            f"{root}: there is no such folder; expected {', '.join(labels)} in it. Check the path."
        )
    present = sorted(
        path.name for path in root.iterdir() if path.is_dir() and not is_left_behind(path.name)
    )
    unknown = [name for name in present if name not in labels]
    if unknown or not present:
        raise DatasetError(
            f"{root}: holds the folders {', '.join(present) or '(none)'}; expected "
            f"{', '.join(labels)}. Rename {', '.join(unknown) or 'nothing'} or name another folder."
        )
    failed: list[FailedImage] = []
    fields = []
    for label in present:
        images: Mapping[str, Path] = images_in(root / label)
        blocks = blocks_of_names(list(images), pattern=block_pattern, block_size=block_size)
        for name, path in images.items():
            if readable(path, name=f"{label}/{name}", failed=failed, missing="") is None:
                continue
            fields.append(
                CellField(
                    name=f"{label}_{name}",
                    image_path=path,
                    label=label,
                    block=f"{label}/{blocks[name]}",
                )
            )
    return FieldReading(
        root=root,
        source=source,
        licence=licence,
        fields=tuple(sorted(fields, key=lambda field: field.name)),
        failed=tuple(failed),
    )
