"""How many images of other things are refused, and how many smears are refused by mistake.

    python benchmarks/no_smears.py --data DIR [--images 60] [--fit]

DIR holds the collections (default: the folder that the environment variable BLOOD_CELL_DATA
names). Other things are drawn by ``tests/support/no_smears.py``; the images that scikit-image
brings along and thick films of ``odd_fields``, whole, shrunk and in parts, are real ones. With
``--fit`` the weights of ``analysis/thin_smear.py`` are fitted first, on other images and
drawings than those that are counted; each row then says what a fit without its kind gives.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage
from numpy.typing import NDArray

from blood_cell_system.analysis.focus import edge_width
from blood_cell_system.analysis.scale import MIN_AGREEMENT, estimate_diameter
from blood_cell_system.analysis.survey import find_field, survey
from blood_cell_system.analysis.thin_smear import (
    REFUSED_BELOW,
    WEIGHTS,
    reason_to_refuse,
    smear_measures,
)
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.imaging.image_file import read_image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.no_smears import NO_SMEARS, draw_no_smear

COLLECTIONS: Mapping[str, str] = {
    "BCCD": "BCCD_Dataset/BCCD/JPEGImages/*",
    "IML": "iml_malaria/images/*",
    "Uganda": "uganda_sickle/*/*",
    "Chula": "chula_rbc12/*/*",
    "acrs": "acrs_apml/*/*",
    "Kaggle": "bcdd_kaggle/images/*",
    "Taleqani": "taleqani_all/*/*",
    "SigTuple fields": "sigtuple_wbc/field/*",
    "PBC": "pbc_wbc_types/*/*",
    "Raabin": "raabin_wbc/*/*",
    "JHU": "jhu_apl_aml/*/*",
    "Chula white cells": "chula_wbc/*/*",
    "NIH in field": "nih_in_field/*/*",
}
SINGLE_CELLS = ("Chula white cells", "NIH in field")
"""Collections of a cell or two an image: weak evidence, of little weight in the fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One image."""

    kind: str
    name: str
    is_smear: bool
    is_for_fitting: bool
    measures: Mapping[str, float]
    refusal: str
    seconds: float


def measured(kind: str, name: str, image: NDArray[np.uint8], **flags: bool) -> Measured:
    """Measure an image as ``analyze`` does."""
    started = time.perf_counter()
    field = find_field(image)
    view = survey(image, field)
    vote = estimate_diameter(image, field, first=view)
    edge = edge_width(view, vote.diameter_px if vote else None)
    refusal = reason_to_refuse(view, vote, edge)
    seconds = time.perf_counter() - started
    return Measured(
        kind=kind,
        name=name,
        measures=smear_measures(view, vote, edge),
        refusal=refusal,
        seconds=seconds,
        **flags,
    )


def changed(
    image: NDArray[np.uint8], diameter: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Blur, pale, tint, shrink, darken or cut a smear, or take its colours."""
    kind = int(rng.integers(7))
    values = image.astype(np.float32)
    if kind == 0:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.08, 0.15) * diameter))
    if kind == 1:
        light = np.percentile(values.reshape(-1, 3), 85, axis=0)
        values = light + (values - light) * rng.uniform(0.4, 0.7)
    elif kind == 2:
        values *= rng.uniform((0.7, 0.7, 0.5), (1.05, 1.0, 1.0))
    elif kind == 3:
        share = min(1.0, max(rng.uniform(0.25, 0.6), 14 / diameter))
        return np.asarray(cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))
    elif kind == 4:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    elif kind == 5:
        values *= rng.uniform(0.45, 0.8)
    else:
        height, width = image.shape[:2]
        side = int(min(height, width, max(200, 5 * diameter)))
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        return np.ascontiguousarray(image[top : top + side, left : left + side])
    return np.clip(values, 0, 255).astype(np.uint8)


def smears(data: Path, count: int, *, is_for_fitting: bool) -> Iterator[Measured]:
    """Measure smears of every collection, for fitting changed ones as well."""
    rng = np.random.default_rng(0)
    flags = {"is_smear": True, "is_for_fitting": is_for_fitting}
    for kind, pattern in COLLECTIONS.items():
        paths = sorted(
            path for path in data.glob(pattern) if path.suffix.lower() in {".jpg", ".png", ".bmp"}
        )
        np.random.default_rng(1).shuffle(paths)
        half = len(paths) // 2
        for index, path in enumerate((paths[half:] if is_for_fitting else paths[:half])[:count]):
            image = read_image(path)
            plain = measured(kind, str(path.relative_to(data)), image, **flags)
            yield plain
            if is_for_fitting and index % 3 == 0:
                vote = estimate_diameter(image, find_field(image))
                if vote is not None and vote.agreement >= MIN_AGREEMENT:
                    other = changed(image, vote.diameter_px, rng)
                    yield measured(kind, f"{plain.name}, changed", other, **flags)
    for seed in range(count // 2):
        number = seed + 10_000 * is_for_fitting
        image = draw_smear(SmearSettings(), np.random.default_rng(number)).image
        yield measured("drawn smears", str(number), image, **flags)


def other_things(data: Path, count: int, *, is_for_fitting: bool) -> Iterator[Measured]:
    """Measure images of anything else."""
    flags = {"is_smear": False, "is_for_fitting": is_for_fitting}
    for kind in NO_SMEARS:
        for seed in range(count):
            number = seed + 10_000 * is_for_fitting
            yield measured(kind, str(number), draw_no_smear(kind, number), **flags)
    samples = sorted((Path(skimage.__file__).parent / "data").glob("*.[pj][np]g"))
    for path in samples[is_for_fitting::2]:
        yield measured("scikit-image", path.name, read_image(path), **flags)
    films = sorted((data / "odd_fields").glob("thick_*.jpg"))
    for path in films[:3] if is_for_fitting else films[3:]:
        image = read_image(path)
        yield measured("thick films", path.name, image, **flags)
        rng = np.random.default_rng(2)
        for part in range(12):
            top, left = rng.integers(image.shape[0] // 2), rng.integers(image.shape[1] // 2)
            height, width = image.shape[0] // 2, image.shape[1] // 2
            crop = np.ascontiguousarray(image[top : top + height, left : left + width])
            share = (1.0, 0.5, 0.3)[part % 3]
            crop = cv2.resize(crop, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
            yield measured("parts of thick films", f"{path.name} {part}", np.asarray(crop), **flags)


def fitted(rows: list[Measured]) -> dict[str, float]:
    """Fit a logistic regression by Newton's method; both classes weigh the same."""
    names = list(rows[0].measures)
    values = np.array([[row.measures[name] for name in names] for row in rows])
    centre, spread = values.mean(axis=0), values.std(axis=0) + 1e-9
    design = np.c_[np.ones(len(rows)), (values - centre) / spread]
    truth = np.array([row.is_smear for row in rows], dtype=float)
    weight = np.where(truth == 1, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    weight *= [0.15 if row.kind in SINGLE_CELLS else 1.0 for row in rows]
    ridge = 3e-3 * np.diag([1e-6] + [1.0] * len(names))
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (weight * (chance - truth)) / len(rows) + ridge @ weights
        curve = (design * (weight * chance * (1 - chance))[:, None]).T @ design / len(rows) + ridge
        weights -= np.linalg.solve(curve, slope)
    slopes = weights[1:] / spread
    return {"constant": float(weights[0] - slopes @ centre)} | dict(
        zip(names, slopes.tolist(), strict=True)
    )


def score(weights: Mapping[str, float], row: Measured) -> float:
    """Score a row with any weights."""
    return weights["constant"] + sum(weights.get(n, 0.0) * v for n, v in row.measures.items())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    weights, fitting = WEIGHTS, []
    if options.fit:
        fitting = [
            *smears(options.data, options.images, is_for_fitting=True),
            *other_things(options.data, options.images, is_for_fitting=True),
        ]
        weights = fitted(fitting)
        for name, value in weights.items():
            print(f'        "{name}": {value:.3f},')
    rows = [
        *smears(options.data, options.images, is_for_fitting=False),
        *other_things(options.data, options.images, is_for_fitting=False),
    ]
    print(f"{'kind':24s}images  refused  refused by a fit without the kind   ms, slowest")
    for kind in dict.fromkeys(row.kind for row in rows):
        chosen = [row for row in rows if row.kind == kind]
        refused = [
            row
            for row in chosen
            if (score(weights, row) < REFUSED_BELOW if options.fit else row.refusal)
        ]
        without = ""
        if options.fit:
            left = fitted([row for row in fitting if row.kind.split()[-1] != kind.split()[-1]])
            without = f"{np.mean([score(left, row) < REFUSED_BELOW for row in chosen]):.3f}"
        slowest = max(row.seconds for row in chosen)
        print(
            f"{kind:24s}{len(chosen):6d}{len(refused) / len(chosen):9.3f}{without:>10s}"
            f"{1000 * slowest:9.0f}"
        )
        odd = refused if chosen[0].is_smear else [row for row in chosen if row not in refused]
        for row in odd[:12]:
            print(f"    {row.name}: {score(weights, row):.2f}")


if __name__ == "__main__":
    main()
