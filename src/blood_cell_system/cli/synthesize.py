"""``bloodcells synthesize``: draw smears with exact ground truth."""

import re
from collections import Counter
from typing import Annotated, Literal

from blood_cell_system.cli.options import (
    ALL_CORES,
    Jobs,
    Output,
    Seed,
    diameter_px,
    given,
    option,
    share,
)
from blood_cell_system.errors import OutOfRangeError
from blood_cell_system.wording import counted


def synthesize(
    *,
    output: Output,
    count: Annotated[int, option("--count N", "Number of smears.")] = 40,
    seed: Seed = 0,
    size: Annotated[str, option("--size WxH", "Width x height in pixels.")] = "640x480",
    stain: Annotated[str, option("--stain NAME", "A stain's name, or mixed.")] = "mixed",
    cell_diameter: Annotated[
        float | None,
        option(
            "--cell-diameter PX",
            "Mean diameter of a red cell.",
            default="95, as in BCCD; for single cells 50",
            parser=diameter_px,
        ),
    ] = None,
    layout: Annotated[
        Literal["prepared", "bccd", "cells-rbc", "cells-wbc", "slide"],
        option(
            "--layout",
            "prepared: with masks, ready to train on; bccd: as a clone of BCCD, "
            "with boxes only; cells-rbc, cells-wbc: single cells of N smears, for a"
            " classifier; slide: one whole slide as a tiled pyramid.",
        ),
    ] = "prepared",
    malaria_share: Annotated[
        float, option("--malaria-share P", "Red cells with a parasite.", parser=share)
    ] = 0.0,
    sickle_share: Annotated[
        float, option("--sickle-share P", "Red cells that are sickles.", parser=share)
    ] = 0.0,
    jobs: Jobs = ALL_CORES,
) -> int:
    """Draw smears with exact ground truth, to try things out.

    Examples
    --------
    bloodcells synthesize -o drawn --count 6 --malaria-share 0.05
    bloodcells synthesize -o data/cells_rbc --layout cells-rbc --count 20
    bloodcells synthesize -o drawn_slide --layout slide --size 20000x20000
    """
    from blood_cell_system.datasets.synthetic import (
        FolderLayout,
        SmearSettings,
        write_synthetic_folder,
    )
    from blood_cell_system.model_metadata import ClassifierKind

    if layout == "slide":
        from blood_cell_system.datasets.synthetic.drawn_slide import SlideSettings, write_slide

        height, width = parse_size(size)
        of_slide = SlideSettings(
            height=height, width=width, **given(cell_diameter_px=cell_diameter)
        )
        drawing = write_slide(output, of_slide, seed=seed)
        print(
            f"{output / 'slide.tif'}: {width}×{height} pixels, "
            f"{counted(len(drawing.cells.zone), 'cell')}"
        )
        return 0
    is_of_cells = layout.startswith("cells-")
    settings = SmearSettings(
        shape=parse_size(size),
        stain=stain,
        cell_diameter_px=cell_diameter or (50.0 if is_of_cells else 95.0),
        malaria_share=malaria_share,
        sickle_share=sickle_share,
    )
    if is_of_cells:
        from blood_cell_system.pipeline.synthetic_cells import write_synthetic_cells

        records = write_synthetic_cells(
            output,
            kind=ClassifierKind(layout.removeprefix("cells-")),
            fields=count,
            settings=settings,
            seed=seed,
            jobs=jobs,
        )
        counts = Counter(record.label for record in records)
        listed = ", ".join(f"{number} {label}" for label, number in sorted(counts.items()))
        print(f"{output}: {len(records)} drawn cells: {listed}")
        return 0
    stems = write_synthetic_folder(
        output, count=count, settings=settings, seed=seed, layout=FolderLayout(layout), jobs=jobs
    )
    print(
        f"{output}: {len(stems)} drawn {'smear' if len(stems) == 1 else 'smears'}, layout {layout}"
    )
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """Read ``WIDTHxHEIGHT``.

    Returns
    -------
    tuple of int
        ``(height, width)`` in pixels.

    Raises
    ------
    OutOfRangeError
        The text is something else.

    Examples
    --------
    >>> parse_size("640x480")
    (480, 640)
    """
    found = re.fullmatch(r"\s*(\d{1,6})\s*[x×X]\s*(\d{1,6})\s*", text)
    if not found:
        raise OutOfRangeError(
            f"Size: {text!r}; expected width x height in pixels, for instance 640x480."
        )
    return int(found[2]), int(found[1])
