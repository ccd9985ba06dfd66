"""Random crops, flips, colours and erased boxes, on batches of 8-bit pictures as tensors.

`flip-crop` is the usual recipe of ImageNet, with crops that keep more of the object; `strong` adds colour jitter and
random erasing (Zhong et al. 2017, arXiv 1708.04896).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torchvision.transforms.v2 import functional

from classifier_core.training.config import TrainConfig

Picture = torch.Tensor  # uint8 [channels, height, width]

# Of a letterboxed picture, which is fitted in whole because its edges count: a crop takes at most 13 % off a side.
_LEAST_OF_LETTERBOX = 0.75
# RGB to YIQ (luma, and two axes of colour whose plane turns with the hue), NTSC 1953.
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


@dataclass(frozen=True)
class Recipe:
    """How much each kind of change may do. A share of 0 switches it off."""

    min_area: float = 1.0  # of the picture, that a crop keeps
    max_stretch: float = 4 / 3  # of a crop's sides
    flip: bool = False
    jitter: float = 0.0  # of brightness, contrast and saturation
    hue: float = 0.0  # of half a turn
    erase: float = 0.0  # share of pictures that lose a box

    @property
    def crops(self) -> bool:
        """Whether pictures are cut at random."""
        return self.min_area < 1


def recipe_of(config: TrainConfig) -> Recipe:
    """The preset, without the cuts, flips or colours that would change what a photo shows."""
    presets = {
        "none": Recipe(),
        "flip-crop": Recipe(min_area=0.4, flip=True),
        "strong": Recipe(min_area=0.25, flip=True, jitter=0.4, hue=0.05, erase=0.25),
    }
    recipe = presets[config.augmentation]
    is_whole = config.fit == "letterbox"
    recoloured = config.recolour and config.channels == 3
    return Recipe(
        min_area=max(recipe.min_area, _LEAST_OF_LETTERBOX) if is_whole else recipe.min_area,
        max_stretch=1.0 if is_whole else recipe.max_stretch,
        flip=recipe.flip and config.flip,
        jitter=recipe.jitter if config.recolour else 0.0,
        hue=recipe.hue if recoloured else 0.0,
        erase=recipe.erase,
    )


def crop_batch(pictures: Sequence[Picture], recipe: Recipe, *, size: int, generator: torch.Generator) -> torch.Tensor:
    """Random crops of pictures of any size, and flips, uint8 [N, C, size, size]; without crops all have that size."""
    if recipe.crops:
        boxes = [_draw_box(picture, recipe, generator) for picture in pictures]
        pictures = [_cut(picture, box, size) for picture, box in zip(pictures, boxes, strict=True)]
    batch = torch.stack(list(pictures))
    if recipe.flip:
        is_flipped = torch.rand(len(batch), generator=generator) < 0.5
        batch[is_flipped] = batch[is_flipped].flip(3)
    return batch


def recolour(images: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> torch.Tensor:
    """Float images [N, C, H, W] in 0-255, in place, with other brightness, contrast, saturation and hue."""
    if not recipe.jitter:
        return images
    brightness, contrast, saturation = (_factors(len(images), recipe.jitter, generator) for _ in range(3))
    means = images.mean((2, 3), keepdim=True).mean(1, keepdim=True)
    images.sub_(means).mul_(contrast.to(images.device)).add_(means)
    if images.shape[1] == 3:
        images = _turn_colours(images, _colour_matrices(saturation, recipe.hue, generator))
    return images.mul_(brightness.to(images.device)).clamp_(0, 255)


def erase(images: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> torch.Tensor:
    """Normalised images [N, C, H, W], in place: some lose a box, which becomes the mean colour."""
    if not recipe.erase:
        return images
    height, width = images.shape[2:]
    for number in torch.nonzero(torch.rand(len(images), generator=generator) < recipe.erase).flatten().tolist():
        area, ratio, x, y = torch.rand(4, generator=generator).tolist()
        side = math.sqrt(height * width * (0.02 + 0.23 * area))
        stretch = math.exp((2 * ratio - 1) * math.log(2))
        box_height, box_width = min(height, round(side * stretch)), min(width, round(side / stretch))
        top, left = round(y * (height - box_height)), round(x * (width - box_width))
        images[number, :, top : top + box_height, left : left + box_width] = 0
    return images


def mixup_share(alpha: float, generator: torch.Generator) -> float:
    """How much of each picture stays, 0.5 to 1: Zhang et al. 2017 (arXiv 1710.09412), the larger share first."""
    if not alpha:
        return 1.0
    # Beta(a, a) from two gamma draws; torch's own gamma takes a generator only in this form.
    draws = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64), generator=generator)
    share = float(draws[0] / draws.sum()) if draws.sum() > 0 else 1.0
    return max(share, 1 - share)


def _draw_box(picture: Picture, recipe: Recipe, generator: torch.Generator) -> tuple[int, int, int, int]:
    """Top, left, height, width: an area and a stretch, then a place (Szegedy et al. 2014, arXiv 1409.4842)."""
    height, width = picture.shape[1:]
    area, ratio, x, y = torch.rand(4, generator=generator).tolist()
    # Of the largest square: a panorama's crop should not be wider than what is recognised later.
    side = min(height, width) * math.sqrt(recipe.min_area + (1 - recipe.min_area) * area)
    stretch = math.exp((2 * ratio - 1) * math.log(recipe.max_stretch) / 2)
    box_height, box_width = min(height, round(side * stretch)), min(width, round(side / stretch))
    return round(y * (height - box_height)), round(x * (width - box_width)), max(1, box_height), max(1, box_width)


def _cut(picture: Picture, box: tuple[int, int, int, int], size: int) -> Picture:
    top, left, height, width = box
    square: Picture = functional.resized_crop(picture, top, left, height, width, [size, size], antialias=True)
    return square


def _factors(count: int, spread: float, generator: torch.Generator) -> torch.Tensor:
    return (1 + spread * (2 * torch.rand(count, generator=generator) - 1)).view(-1, 1, 1, 1)


def _colour_matrices(saturation: torch.Tensor, hue: float, generator: torch.Generator) -> torch.Tensor:
    """[N, 3, 3] that scale the colours around grey and turn them."""
    angle = math.pi * hue * (2 * torch.rand(len(saturation), generator=generator) - 1)
    scale = saturation.flatten()
    turn = torch.zeros(len(scale), 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = scale * angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -scale * angle.sin(), scale * angle.sin()
    matrices: torch.Tensor = torch.linalg.inv(_YIQ) @ turn @ _YIQ
    return matrices


def _turn_colours(images: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    return torch.einsum("nij,njhw->nihw", matrices.to(images.device), images).contiguous(
        memory_format=torch.channels_last
    )
