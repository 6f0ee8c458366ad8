"""Marks drawn over an image of a smear, as programs and people put them there."""

from dataclasses import dataclass

import cv2
import numpy as np

COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (230, 20, 20),
    "green": (20, 200, 40),
    "blue": (20, 40, 230),
    "yellow": (250, 240, 20),
}
KINDS = (
    "scale bar",
    "arrow",
    "pointer",
    "caption",
    "banner",
    "ruler",
    "crosshair",
    "timestamp",
)


@dataclass(frozen=True, kw_only=True)
class MarkedImage:
    """An image with one mark.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
    mark : ndarray of shape (height, width), dtype bool
        Where the mark changes the image so that one sees it.
    seen_share : float
        Part of the mark that stands out: white does not on a white slide.
    """

    image: np.ndarray
    mark: np.ndarray
    seen_share: float
    kind: str
    colour: str


def draw_mark(image, kind, colour, rng):
    """Draw one mark of any size, place, orientation and opacity."""
    height, width = image.shape[:2]
    unit = max(0.75, max(width, height) / 640)
    cover = np.zeros((height, width), np.uint8)
    paint = np.zeros_like(image)
    paint[:] = COLOURS[colour]
    line = cv2.LINE_AA if rng.random() < 0.6 else cv2.LINE_8
    opacity = 1.0 if rng.random() < 0.6 else rng.uniform(0.55, 0.9)
    _DRAWN[kind](cover, paint, rng, unit, line)
    share = cover.astype(np.float32) / 255 * opacity
    if kind == "pointer":
        share = cv2.GaussianBlur(share, (0, 0), rng.uniform(0.3, 2.0) * unit)
    elif rng.random() < 0.3:
        share = cv2.GaussianBlur(share, (0, 0), rng.uniform(0.3, 0.7) * unit)
    share = share[:, :, None]
    marked = np.rint(image * (1 - share) + paint * share).astype(np.uint8)
    is_seen = np.abs(marked.astype(int) - image).max(axis=2) >= 40
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 96))]
        _, data = cv2.imencode(".jpg", marked, quality)
        marked = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return MarkedImage(
        image=marked,
        mark=is_seen & (cover > 0),
        seen_share=float(is_seen[cover > 127].mean()) if (cover > 127).any() else 0.0,
        kind=kind,
        colour=colour,
    )


def _words(rng):
    choices = ("50 um", "10 µm", "Fig. 3 A", "Patient 12", "x1000", "WBC", "Slide B-7", "20.0um")
    return str(rng.choice(choices)).replace("µ", "u")


def _place(rng, shape, size):
    """Corner of a body of that size, often near the border."""
    room = [max(1, whole - part) for whole, part in zip(shape, size, strict=True)]
    where = rng.random(2)
    if rng.random() < 0.6:
        where = np.where(where < 0.5, 0.03, 0.97)
    return (where * room).astype(int)


def _text(cover, rng, unit, line, words, top, left, scale):
    thick = max(1, round(unit * scale * rng.uniform(1.2, 2.5)))
    cv2.putText(cover, words, (int(left), int(top)), 0, float(unit * scale), 255, thick, line)


def _scale_bar(cover, _, rng, unit, line):
    length, thick = int(unit * rng.uniform(50, 160)), max(2, int(unit * rng.uniform(2, 8)))
    is_upright = rng.random() < 0.3
    size = (length, thick) if is_upright else (thick, length)
    margin = int(40 * unit)
    top, left = _place(rng, cover.shape, (size[0] + 2 * margin, size[1] + 2 * margin)) + margin
    cv2.rectangle(cover, (int(left), int(top)), (int(left) + size[1], int(top) + size[0]), 255, -1)
    if rng.random() < 0.5:
        reach = int(5 * unit)
        ends = ((top, left), (top + size[0], left + size[1]))
        for y, x in ends:
            across = (0, reach) if not is_upright else (reach, 0)
            start = (int(x - across[0]), int(y - across[1]))
            cv2.line(
                cover, start, (int(x + across[0]), int(y + across[1])), 255, max(1, thick // 2)
            )
    if rng.random() < 0.7:
        _text(cover, rng, unit, line, "20 um", top + size[0] + 24 * unit, left, 0.6)


def _arrow(cover, _, rng, unit, line):
    length, angle = unit * rng.uniform(40, 130), rng.uniform(0, 2 * np.pi)
    tip = rng.uniform((0.15, 0.15), (0.85, 0.85)) * cover.shape[::-1]
    tail = tip + length * np.array([np.cos(angle), np.sin(angle)])
    thick = max(2, round(unit * rng.uniform(2, 5)))
    cv2.line(cover, tail.astype(int).tolist(), tip.astype(int).tolist(), 255, thick, line)
    along = (tip - tail) / length
    across = np.array([-along[1], along[0]])
    size = unit * rng.uniform(8, 16)
    head = np.array(
        [
            tip + along * size * 0.6,
            tip - along * size + across * size * 0.7,
            tip - along * size - across * size * 0.7,
        ]
    )
    cv2.fillPoly(cover, [head.astype(np.int32)], 255, line)


def _pointer(cover, _, rng, unit, line):
    """A needle in the eyepiece: from the border inwards, tapering, out of focus."""
    height, width = cover.shape
    side = int(rng.integers(4))
    along = rng.uniform(0.2, 0.8)
    foot = np.array(
        [
            (along * width, -5),
            (along * width, height + 5),
            (-5, along * height),
            (width + 5, along * height),
        ][side]
    )
    middle = np.array([width, height]) * rng.uniform(0.3, 0.7, 2)
    tip = foot + (middle - foot) * min(
        1.0, unit * rng.uniform(100, 260) / np.hypot(*(middle - foot))
    )
    direction = (tip - foot) / np.hypot(*(tip - foot))
    across = np.array([-direction[1], direction[0]]) * unit * rng.uniform(3, 8)
    corners = np.array([foot + across, foot - across, tip - across * 0.3, tip + across * 0.3])
    cv2.fillPoly(cover, [corners.astype(np.int32)], 255, line)


def _caption(cover, _, rng, unit, line):
    scale = rng.uniform(0.5, 1.1)
    rows = int(rng.integers(1, 3))
    top, left = _place(rng, cover.shape, (rows * 34 * scale * unit, 240 * scale * unit))
    for row in range(rows):
        words = f"{_words(rng)} {_words(rng)}"
        _text(cover, rng, unit, line, words, top + (row * 34 + 26) * scale * unit, left, scale)


def _banner(cover, paint, rng, unit, line):
    """A filled strip with writing in another colour."""
    height, width = cover.shape
    tall = int(unit * rng.uniform(24, 60))
    if rng.random() < 0.6:
        top, left, wide = (0 if rng.random() < 0.5 else height - tall), 0, width
    else:
        wide = int(unit * rng.uniform(120, 300))
        top, left = _place(rng, cover.shape, (tall, wide))
    cv2.rectangle(cover, (int(left), int(top)), (int(left) + wide, int(top) + tall), 255, -1)
    ink = (255, 255, 255) if paint[0, 0].sum() < 380 else (0, 0, 0)
    start = (int(left + 8 * unit), int(top + tall * 0.7))
    words = f"{_words(rng)} - {_words(rng)}"
    thick = max(1, round(1.5 * unit))
    cv2.putText(paint, words, start, 0, float(tall / 45), ink, thick, line)


def _ruler(cover, _, rng, unit, line):
    height, width = cover.shape
    is_upright = rng.random() < 0.5
    whole = height if is_upright else width
    at = int(unit * rng.uniform(6, 20))
    at = at if rng.random() < 0.5 else (width if is_upright else height) - at
    start, end = int(0.05 * whole), int(rng.uniform(0.5, 0.95) * whole)
    step, thick = unit * rng.uniform(8, 20), max(1, round(unit * rng.uniform(1, 2)))
    flip = (lambda x, y: (y, x)) if is_upright else (lambda x, y: (x, y))
    cv2.line(cover, flip(start, at), flip(end, at), 255, thick)
    for index, place in enumerate(np.arange(start, end, step)):
        reach = int(unit * (10 if index % 5 == 0 else 5))
        cv2.line(cover, flip(int(place), at - reach), flip(int(place), at + reach), 255, thick)


def _crosshair(cover, _, rng, unit, line):
    height, width = cover.shape
    thick = max(1, round(unit * rng.uniform(1, 2.5)))
    x, y = int(width * rng.uniform(0.3, 0.7)), int(height * rng.uniform(0.3, 0.7))
    reach = 2 * max(width, height) if rng.random() < 0.5 else int(unit * rng.uniform(25, 70))
    cv2.line(cover, (x - reach, y), (x + reach, y), 255, thick)
    cv2.line(cover, (x, y - reach), (x, y + reach), 255, thick)
    if reach < width and rng.random() < 0.5:
        cv2.circle(cover, (x, y), int(reach * 0.6), 255, thick, line)


def _timestamp(cover, _, rng, unit, line):
    words = f"20{rng.integers(10, 27)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d} "
    words += f"{rng.integers(24):02d}:{rng.integers(60):02d}:{rng.integers(60):02d}"
    scale = rng.uniform(0.45, 0.9)
    wide = 19 * 18 * scale * unit
    is_low, is_right = rng.random() < 0.5, rng.random() < 0.5
    top = cover.shape[0] - 12 * unit if is_low else 30 * scale * unit
    left = max(0, cover.shape[1] - wide - 10 * unit) if is_right else 10 * unit
    _text(cover, rng, unit, line, words, top, left, scale)


_DRAWN = {
    "scale bar": _scale_bar,
    "arrow": _arrow,
    "pointer": _pointer,
    "caption": _caption,
    "banner": _banner,
    "ruler": _ruler,
    "crosshair": _crosshair,
    "timestamp": _timestamp,
}
