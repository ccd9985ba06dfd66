"""Folders of small photos, made by the test: soft noise in a colour for each class, no two alike."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = [(200, 40, 40), (40, 180, 40), (40, 40, 200), (200, 200, 40), (180, 40, 180)]


def picture(seed: int, *, size: tuple[int, int] = (96, 80), colour: tuple[int, int, int] = COLOURS[0]) -> Image.Image:
    """Width and height in pixels; the same seed, the same picture."""
    noise = np.random.default_rng(seed).integers(0, 160, (9, 9, 1))
    pixels = np.clip(noise + np.array(colour) // 2, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def write_folder(root: Path, counts: Mapping[str, int], *, size: tuple[int, int] = (96, 80)) -> Path:
    """An ImageFolder with so many photos of each class."""
    for number, (label, count) in enumerate(counts.items()):
        (root / label).mkdir(parents=True)
        for photo in range(count):
            image = picture(1000 * number + photo, size=size, colour=COLOURS[number % len(COLOURS)])
            image.save(root / label / f"{photo:03}.png")
    return root
