"""How much of each picture a page of many pictures can show."""

import sys
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLimits:
    """What a page shows of each picture, so that it stays below some 50 MB.

    Parameters
    ----------
    pictures : int
        Up to how many pictures these limits are for.
    side_px : int
        Longer side of a picture on the page; 0 where pictures are only linked to.
    crops : int
        Uncertain cells of a picture that the gallery may choose from.
    """

    pictures: int
    side_px: int
    crops: int


_LIMITS: Final = (
    PageLimits(pictures=60, side_px=1280, crops=20),
    PageLimits(pictures=250, side_px=768, crops=12),
    PageLimits(pictures=1000, side_px=400, crops=6),
)
_NO_PICTURES: Final = PageLimits(pictures=sys.maxsize, side_px=0, crops=2)


def page_limits(pictures: int) -> PageLimits:
    """Choose what a page of so many pictures shows of each."""
    return next((limits for limits in _LIMITS if pictures <= limits.pictures), _NO_PICTURES)
