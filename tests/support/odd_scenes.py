"""Images that are no smears, and drawn ones that are."""

import cv2
import numpy as np

SLIDE = (232, 226, 218)
RED_CELL = (188, 142, 150)


def field_of_cells(diameter, *, shape=(480, 640), count=None, seed=0, overlap=0.95):
    """Round red cells on an even slide, none nearer to another than ``overlap`` diameters."""
    rng = np.random.default_rng(seed)
    image = np.full((*shape, 3), SLIDE, np.uint8)
    centres = []
    count = count or int(0.45 * shape[0] * shape[1] / diameter**2)
    for _ in range(50 * count):
        centre = rng.uniform((0, 0), shape[::-1])
        if all(np.hypot(*(centre - other)) >= overlap * diameter for other in centres):
            centres.append(centre)
        if len(centres) == count:
            break
    for x, y in centres:
        cv2.circle(
            image, (round(16 * x), round(16 * y)), round(8 * diameter), RED_CELL, -1, cv2.LINE_AA, 4
        )
    noise = rng.normal(0, 2, image.shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1) + noise, 0, 255).astype(np.uint8)


def natural_noise(*, slope, colour, seed, shape=(240, 320)):
    """Noise with the spectrum of photographs: power falls with the frequency."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None])
    frequency[0, 0] = 1
    planes = [
        np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) / frequency ** (slope / 2)).real
        for _ in range(4)
    ]
    grey, *colours = [(plane - plane.mean()) / plane.std() for plane in planes]
    image = np.stack([grey + colour * plane for plane in colours], axis=2)
    return np.clip(120 + 45 * image, 0, 255).astype(np.uint8)


def page_of_text(seed=0):
    rng = np.random.default_rng(seed)
    page = np.full((800, 600, 3), 250, np.uint8)
    for y in range(30, 790, 22):
        line = "".join(rng.choice(list("abcdefghijklmno  pqrstuvwxyz"), 48))
        cv2.putText(page, line, (20, y), 0, 0.55, (20, 20, 20), 1, cv2.LINE_AA)
    return page


def drawn_cat():
    """A brown cat with green eyes before a green meadow."""
    image = np.full((480, 640, 3), (90, 140, 70), np.uint8)
    fur, eyes = (150, 110, 70), (40, 200, 60)
    cv2.ellipse(image, (320, 320), (150, 110), 0, 0, 360, fur, -1)
    cv2.circle(image, (320, 170), 80, fur, -1)
    for x in (290, 350):
        cv2.circle(image, (x, 160), 12, eyes, -1)
    for corners in ([(260, 120), (250, 60), (300, 100)], [(380, 120), (390, 60), (340, 100)]):
        cv2.fillPoly(image, [np.array(corners)], fur)
    noise = np.random.default_rng(0).normal(0, 12, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def furry_cat():
    """The face of a cat as a photograph shows it: fur in strokes, round eyes, soft light."""
    rng = np.random.default_rng(0)
    image = natural_noise(slope=2.4, colour=0.25, seed=4, shape=(480, 640)).astype(np.float32)
    image = 0.5 * image + (60, 50, 40)
    for _ in range(12_000):
        x, y = rng.uniform(0, 640), rng.uniform(0, 480)
        angle = np.arctan2(y - 250, x - 320) + rng.normal(0, 0.3)
        length = rng.uniform(8, 22)
        end = x + length * np.cos(angle), y + length * np.sin(angle)
        tone = rng.normal(120, 40) * np.array((1.0, 0.8, 0.6))
        cv2.line(image, (int(x), int(y)), (int(end[0]), int(end[1])), tone.tolist(), 1, cv2.LINE_AA)
    for x in (230, 410):
        cv2.circle(image, (x, 210), 52, (150, 170, 60), -1, cv2.LINE_AA)
        cv2.ellipse(image, (x, 210), (14, 44), 0, 0, 360, (12, 12, 10), -1, cv2.LINE_AA)
        cv2.circle(image, (x - 14, 192), 8, (245, 245, 245), -1, cv2.LINE_AA)
    cv2.ellipse(image, (320, 320), (34, 22), 0, 0, 360, (190, 120, 120), -1, cv2.LINE_AA)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1), 0, 255).astype(np.uint8)


def through_eyepiece(image, *, radius_share=0.46):
    """The image as a camera on an eyepiece sees it: a disc in the dark."""
    height, width = image.shape[:2]
    disc = np.zeros((height, width), np.uint8)
    cv2.circle(disc, (width // 2, height // 2), int(radius_share * min(height, width)), 255, -1)
    soft = cv2.GaussianBlur(disc, (0, 0), 3)[:, :, None] / 255.0
    return (soft * image + (1 - soft) * 14).astype(np.uint8), disc > 0


def with_scale_bar(image, *, colour=(0, 0, 0)):
    """A bar with ticks and its length below, in the lower right corner."""
    image = image.copy()
    height, width = image.shape[:2]
    left, right, y = width - 120, width - 40, height - 60
    cv2.rectangle(image, (left, y), (right, y + 3), colour, -1)
    for x in (left, right):
        cv2.line(image, (x, y - 5), (x, y + 8), colour, 2)
    cv2.putText(image, "50 um", (left + 8, y + 32), 0, 0.6, colour, 2)
    return image
