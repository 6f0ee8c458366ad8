"""Drawn images of what is no thin smear: tissue, thick films, text, screens, gradients, noise."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

SHAPES = ((480, 640), (960, 1280), (600, 600), (256, 256), (750, 1000))


def soft_noise(rng, shape, width):
    """Smooth noise of mean 0 and spread 1, with bodies about ``width`` pixels wide."""
    small = tuple(max(4, round(6 * side / width)) for side in shape)
    noise = cv2.GaussianBlur(rng.normal(size=small).astype(np.float32), (0, 0), 1.5)
    noise = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return (noise - noise.mean()) / noise.std()


def _finished(rng, image, *, noise=(1, 6)):
    image = image + rng.normal(0, rng.uniform(*noise), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def tissue(rng, shape):
    """A section stained with haematoxylin and eosin: pink all over, gaps, blue nuclei, fibres."""
    eosin = np.array(rng.uniform((205, 120, 160), (240, 180, 205)), np.float32)
    image = np.full((*shape, 3), eosin, np.float32)
    side = min(shape)
    image += 12 * soft_noise(rng, shape, side / rng.uniform(3, 12))[:, :, None]
    fibres = soft_noise(rng, shape, side / 20) + soft_noise(rng, shape, side / 60)
    image -= rng.uniform(5, 20) * np.abs(fibres)[:, :, None] * (0.4, 1.0, 0.6)
    gaps = soft_noise(rng, shape, side / rng.uniform(2, 8)) > rng.uniform(1.0, 2.2)
    image[gaps] = rng.uniform((235, 232, 235), (250, 248, 250))
    nucleus = side / rng.uniform(25, 90)
    crowd = rng.uniform(0.05, 0.35)
    for _ in range(int(crowd * shape[0] * shape[1] / nucleus**2)):
        x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        axes = nucleus * rng.uniform((0.25, 0.15), (0.65, 0.5))
        colour = rng.uniform((70, 50, 110), (130, 95, 165))
        box = ((x, y), tuple(2 * axes), rng.uniform(0, 180))
        cv2.ellipse(image, box, colour.tolist(), -1, cv2.LINE_AA)
    return _finished(rng, cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 2)))


def thick_film(rng, shape):
    """Lysed blood: clouds of haemoglobin, dark nuclei of white cells, specks, no red cell."""
    side = min(shape)
    slide = np.array(rng.uniform((180, 180, 165), (225, 225, 215)), np.float32)
    cloud = soft_noise(rng, shape, side / rng.uniform(1.5, 8))
    cloud += rng.uniform(0.2, 0.8) * soft_noise(rng, shape, side / rng.uniform(15, 50))
    cloud += rng.uniform(0.1, 0.4) * soft_noise(rng, shape, side / rng.uniform(60, 150))
    dye = rng.uniform((0.2, 0.25, 0.05), (0.5, 0.6, 0.3)).astype(np.float32)
    density = np.maximum(cloud + rng.uniform(-0.5, 1.5), 0)[:, :, None] * (
        rng.uniform(0.2, 0.7) * dye
    )
    image = slide * np.exp(-density)
    specks = side / rng.uniform(100, 250)
    for _ in range(int(rng.integers(20, 400))):
        centre = rng.uniform((0, 0), shape[::-1])
        colour = rng.uniform((80, 20, 80), (150, 90, 150)).tolist()
        axes = tuple(specks * rng.uniform(0.5, 2.5, 2))
        cv2.ellipse(image, (tuple(centre), axes, rng.uniform(0, 180)), colour, -1, cv2.LINE_AA)
    nucleus = side / rng.uniform(14, 40)
    for _ in range(int(rng.integers(0, 12))):
        centre = rng.uniform((0, 0), shape[::-1])
        colour = rng.uniform((20, 10, 40), (70, 40, 110)).tolist()
        for _ in range(int(rng.integers(1, 4))):
            lobe = centre + rng.normal(0, nucleus / 3, 2)
            cv2.circle(image, lobe.astype(int).tolist(), int(nucleus / 2), colour, -1, cv2.LINE_AA)
    return _finished(rng, cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 4)))


def _words(rng, length):
    return "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz    0123456789.,"), length))


def text(rng, shape):
    """A page, black on white, white on black, or in colours."""
    paper, ink = rng.uniform(200, 255, 3), rng.uniform(0, 90, 3)
    if rng.random() < 0.3:
        paper, ink = ink, paper
    image = np.full((*shape, 3), paper, np.uint8)
    size = rng.uniform(0.4, 1.6)
    for y in range(30, shape[0], int(size * rng.uniform(30, 50))):
        line = _words(rng, int(shape[1] / (11 * size)))
        cv2.putText(
            image, line, (15, y), 0, size, ink.tolist(), int(rng.integers(1, 3)), cv2.LINE_AA
        )
    return _finished(rng, image, noise=(0, 4))


def screen(rng, shape):
    """A screenshot: windows, buttons, text, round symbols."""
    image = np.full((*shape, 3), rng.uniform(180, 250, 3), np.uint8)
    for _ in range(int(rng.integers(5, 30))):
        left, top = rng.integers(0, shape[1]), rng.integers(0, shape[0])
        right, bottom = (
            left + rng.integers(20, shape[1] // 2),
            top + rng.integers(10, shape[0] // 3),
        )
        colour = rng.uniform(30, 255, 3).tolist()
        cv2.rectangle(image, (int(left), int(top)), (int(right), int(bottom)), colour, -1)
        words = _words(rng, int(rng.integers(3, 30)))
        cv2.putText(
            image, words, (int(left) + 6, int(top) + 20), 0, 0.5, (20, 20, 20), 1, cv2.LINE_AA
        )
    for _ in range(int(rng.integers(0, 6))):
        centre = rng.integers((0, 0), shape[::-1]).tolist()
        cv2.circle(
            image,
            centre,
            int(rng.integers(5, 30)),
            rng.uniform(0, 255, 3).tolist(),
            -1,
            cv2.LINE_AA,
        )
    return _finished(rng, image, noise=(0, 1))


def plot(rng, shape):
    """A diagram of points and lines on white."""
    image = np.full((*shape, 3), 255, np.uint8)
    cv2.rectangle(image, (60, 20), (shape[1] - 20, shape[0] - 40), (0, 0, 0), 1)
    for _ in range(int(rng.integers(1, 5))):
        colour = rng.uniform(0, 220, 3).tolist()
        x = np.sort(rng.uniform(60, shape[1] - 20, int(rng.integers(10, 60))))
        y = shape[0] / 2 + np.cumsum(rng.normal(0, shape[0] / 40, len(x)))
        points = np.stack([x, y], axis=1).astype(np.int32)
        if rng.random() < 0.6:
            cv2.polylines(image, [points], isClosed=False, color=colour, thickness=2)
        if rng.random() < 0.4:
            size = int(rng.integers(2, 5))
            for point in points.tolist():
                cv2.circle(image, point, size, colour, -1, cv2.LINE_AA)
    return _finished(rng, image, noise=(0, 1))


def gradient(rng, shape):
    """Light that falls off, with or without noise."""
    across, down = np.meshgrid(np.linspace(0, 1, shape[1]), np.linspace(0, 1, shape[0]))
    start, along, below = rng.uniform(0, 255, (3, 3))
    image = start + across[:, :, None] * (along - start) + down[:, :, None] * (below - start) / 2
    return _finished(rng, image, noise=(0, 10))


def noise(rng, shape):
    """Noise of any fineness, grey or in colours."""
    channels = 1 if rng.random() < 0.4 else 3
    width = rng.uniform(3, min(shape) / 4)
    planes = [soft_noise(rng, shape, width) for _ in range(channels)]
    if rng.random() < 0.5:
        planes = [plane + 0.6 * soft_noise(rng, shape, width / 3) for plane in planes]
    spread = rng.uniform(15, 60)
    image = rng.uniform(80, 200, 3) + spread * np.stack(planes * (3 // channels), axis=2)
    return _finished(rng, image, noise=(0, 15))


def dark(rng, shape):
    """Near-black: light off, or a cap on the lens."""
    image = np.full((*shape, 3), rng.uniform(0, 25, 3), np.float32)
    image += rng.uniform(0, 8) * soft_noise(rng, shape, min(shape) / 3)[:, :, None]
    return _finished(rng, image)


def blank(rng, shape):
    """An empty slide, out of focus or with dust."""
    image = np.full((*shape, 3), rng.uniform(170, 252, 3), np.float32)
    image += rng.uniform(0, 4) * soft_noise(rng, shape, min(shape) / 2)[:, :, None]
    for _ in range(int(rng.integers(0, 4))):
        centre = rng.integers((0, 0), shape[::-1]).tolist()
        cv2.circle(image, centre, int(rng.integers(1, 4)), (90, 90, 90), -1, cv2.LINE_AA)
    return _finished(rng, image)


def photograph(rng, shape):
    """Bodies of many sizes and colours before one another, as leaves or stones, in soft light."""
    image = np.full((*shape, 3), rng.uniform(60, 200, 3), np.float32)
    side = min(shape)
    for _ in range(int(rng.integers(80, 400))):
        size = side * rng.uniform(0.01, 0.3) * rng.uniform(0.2, 1)
        centre = rng.uniform((0, 0), shape[::-1])
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        reach = size * rng.uniform(0.4, 1, len(angles))
        corners = centre + np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)
        colour = rng.uniform(20, 240, 3)
        cv2.fillPoly(image, [corners.astype(np.int32)], colour.tolist(), cv2.LINE_AA)
    image *= 1 + 0.15 * soft_noise(rng, shape, side / 2)[:, :, None]
    image += rng.uniform(3, 15) * soft_noise(rng, shape, side / 40)[:, :, None]
    return _finished(rng, cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 2)))


NO_SMEARS: Mapping[str, Callable] = {
    scene.__name__: scene
    for scene in (
        tissue,
        thick_film,
        text,
        screen,
        plot,
        gradient,
        noise,
        dark,
        blank,
        photograph,
    )
}


def draw_no_smear(kind, seed):
    """Draw one image of a kind, of one of ``SHAPES``."""
    rng = np.random.default_rng((seed, sum(map(ord, kind))))
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    return NO_SMEARS[kind](rng, shape)
