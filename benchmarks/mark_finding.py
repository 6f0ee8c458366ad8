"""How many drawn marks are found, and how many images without any are said to have one.

    python benchmarks/mark_finding.py --data DIR [--images 30] [--rounds 2]

Marks of every kind and colour are drawn by ``tests/support/drawn_marks.py`` over smears of the
collections in DIR (default: the folder that the environment variable BLOOD_CELL_DATA names) and
over drawn smears. A mark counts as found where 60 % of what one sees of it is covered; one that
hardly stands out from its smear, such as white on a white slide, is left out. False finds are
counted in collections without burned-in marks: not in IML and Chula, whose images have them.
"""

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from blood_cell_system.analysis.marks import find_marks
from blood_cell_system.analysis.survey import find_field
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.imaging.image_file import read_image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.drawn_marks import COLOURS, KINDS, draw_mark

PLAIN = {
    "BCCD": "BCCD_Dataset/BCCD/JPEGImages/*.jpg",
    "Uganda": "uganda_sickle/*/*.jpg",
    "acrs": "acrs_apml/*/*.jpg",
    "Kaggle": "bcdd_kaggle/images/*.png",
    "Taleqani": "taleqani_all/*/*.jpg",
    "SigTuple": "sigtuple_wbc/field/*",
    "PBC": "pbc_wbc_types/*/*.jpg",
    "Raabin": "raabin_wbc/*/*",
    "JHU": "jhu_apl_aml/*/*",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--images", type=int, default=30, help="of each collection")
    parser.add_argument("--rounds", type=int, default=2, help="marks of each kind and colour")
    options = parser.parse_args()
    paths, false_finds, seen = [], 0, 0
    for name, pattern in PLAIN.items():
        chosen = sorted(options.data.glob(pattern))
        np.random.default_rng(7).shuffle(chosen)
        chosen = chosen[: options.images]
        paths += chosen
        found, seconds = [], 0.0
        for path in chosen:
            image = read_image(path)
            field = find_field(image)
            started = time.perf_counter()
            marks = find_marks(image, field)
            seconds += time.perf_counter() - started
            if marks is not None:
                found.append(path.name)
        false_finds, seen = false_finds + len(found), seen + len(chosen)
        each = 1000 * seconds / max(len(chosen), 1)
        print(f"{name:10s} false finds {len(found)} of {len(chosen)}, {each:.0f} ms  {found}")
    print(f"all        false finds {false_finds} of {seen}")
    np.random.default_rng(8).shuffle(paths)
    by_what: dict[str, Counter[str]] = {"drawn": Counter(), "found": Counter()}
    number = 0
    for kind in KINDS:
        for colour in COLOURS:
            for round_index in range(options.rounds):
                number += 1
                rng = np.random.default_rng(number)
                if round_index % 2:
                    image = draw_smear(SmearSettings(), rng).image
                else:
                    image = read_image(paths[number % len(paths)])
                drawn = draw_mark(image, kind, colour, rng)
                field = find_field(drawn.image)
                is_mark = drawn.mark & field & find_field(image)
                if drawn.seen_share < 0.5 or is_mark.sum() < 20:
                    continue
                marks = find_marks(drawn.image, field)
                size = "256 px and less" if max(image.shape) <= 256 else "larger"
                is_found = marks is not None and marks[is_mark].mean() >= 0.6
                for group in ("all", kind, colour, size):
                    by_what["drawn"][group] += 1
                    by_what["found"][group] += is_found
    for group, count in by_what["drawn"].items():
        print(f"{group:16s} found {by_what['found'][group]} of {count}")


if __name__ == "__main__":
    main()
