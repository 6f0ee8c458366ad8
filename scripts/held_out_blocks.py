"""Write the lists of what is held out of the classifiers' training: ``docs/held_out_blocks.md``.

    python scripts/held_out_blocks.py DATA docs/held_out_blocks.md

``DATA`` is the folder of all collections. The lists follow from names, labels and images.
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from blood_cell_system.annotation.splits import Split
from blood_cell_system.atomic_files import write_text
from blood_cell_system.datasets.cell_blocks import in_natural_order
from blood_cell_system.datasets.cell_fields import FieldReading, joined_by_view
from blood_cell_system.datasets.collections.labelled_images import collection
from blood_cell_system.datasets.collections.marked_images import (
    read_iml_malaria,
    read_uganda_sickle,
)
from blood_cell_system.pipeline.cell_crops.recipes import with_splits

HEAD = """# What is held out

The images that the bundled classifiers were not trained on. `val` selects the epoch and
calibrates; `test` gives the figures. A block is never split: cells of one slide are alike,
and a network that has seen a slide recognises it.

| Collection | Block | Why |
|---|---|---|
| IML | 10 neighbouring images | numbered in the order of acquisition; slides are unknown |
| Uganda | 3 neighbouring images of a folder | many fields appear again, 30 numbers later |
| PBC | 10 neighbouring images of a type | patients are unknown |
| Taleqani | 12 neighbouring fields of a folder | patients are unknown |
| BCCD | its official split, `ImageSets/Main` | so that figures can be compared with others' |

Blocks with two images of the same place of a slide are joined (`datasets/cell_fields.py`);
PBC's images of single cells and BCCD's are not compared. Neighbouring names are only a guess at
a slide: different places of one slide may still be in two blocks. The lists depend on names,
labels and images, not on the segmenter that cuts the cells;
`python scripts/held_out_blocks.py DATA FILE` writes this page.
"""


def main(arguments: Sequence[str]) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of all collections")
    parser.add_argument("target", type=Path, help="page to write")
    given = parser.parse_args(arguments)
    data, target = given.data, given.target
    readings = (
        ("IML malaria", joined_by_view(read_iml_malaria(data / "iml_malaria"))),
        ("Uganda sickle cells", joined_by_view(read_uganda_sickle(data / "uganda_sickle"))),
        ("PBC", collection("pbc_wbc_types").read(data / "pbc_wbc_types")),
        ("Taleqani", joined_by_view(collection("taleqani_all").read(data / "taleqani_all"))),
    )
    parts = [HEAD, *(_section(title, with_splits(reading)) for title, reading in readings)]
    write_text(target, "\n".join(parts))
    return 0


def _section(title: str, reading: FieldReading) -> str:
    lines = [f"## {title}", ""]
    for split in (Split.TEST, Split.VAL):
        fields = [field for field in reading.fields if field.split is split]
        blocks: dict[str, list[str]] = {}
        for field in fields:
            blocks.setdefault(field.block, []).append(field.image_path.stem)
        heading = f"`{split}`: {len(fields)} of {len(reading.fields)} images, "
        lines += [f"{heading}{len(blocks)} blocks", ""]
        for block, names in sorted(blocks.items()):
            folder = f"{block.partition('/')[0]}: " if "/" in block else ""
            lines += textwrap.wrap(
                f"- {folder}{', '.join(in_natural_order(names))}", 100, subsequent_indent="  "
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
