"""How pixels become the input of a network. Saved inside the artifact, next to the weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from classifier_core.images import DEFAULT_LIMITS, ImageLimits, decode

Pixels = npt.NDArray[np.uint8]  # [height, width, channels], 0-255
Method = Literal["resize_crop", "letterbox"]
Interpolation = Literal["bilinear", "bicubic"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in 0-1 over ImageNet's training photos
IMAGENET_STD = (0.229, 0.224, 0.225)

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Preprocessing:
    """The one path from a file to a network's input, in training, evaluation, serving and bench alike.

    `resize_crop` scales the shorter side to `resize_size` and takes the middle `crop_size` square. `letterbox` scales
    the longer side to `crop_size` and fills the rest of the square. Mean and std (of values in 0-1) are applied by
    the engines, so that 8-bit pixels are all that travels.

    Raises ValueError for values that make no sense together.
    """

    method: Method = "resize_crop"
    resize_size: int = 256  # shorter side, pixels; not used by letterbox
    crop_size: int = 224  # square, pixels
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channels: int = 3  # 3: RGB, 1: grey
    fill: int = 114  # letterbox border, 0-255: YOLO's grey, near the mean of photos

    def __post_init__(self) -> None:
        for broken, words in self._contradictions():
            if broken:
                raise ValueError(f"preprocessing: {words}")

    def load(self, raw: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> Pixels:
        """The file as uint8 [crop_size, crop_size, channels].

        Raises ImageRefused and ImageUndecodable.
        """
        shorter_side = self.resize_size if self.method == "resize_crop" else self.crop_size
        return self.apply(decode(raw, shorter_side=shorter_side, limits=limits))

    def apply(self, image: Image.Image) -> Pixels:
        """An RGB picture as uint8 [crop_size, crop_size, channels]."""
        square = self._crop(image) if self.method == "resize_crop" else self._letterbox(image)
        if self.channels == 1:
            return np.asarray(square.convert("L"))[:, :, None]
        return np.asarray(square)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """The reverse of `to_dict`. Raises ValueError for missing, unknown or senseless entries."""
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise ValueError(f"preprocessing: entries {sorted(known ^ set(values))} are missing or unknown")
        return cls(**dict(values) | {"mean": tuple(values["mean"]), "std": tuple(values["std"])})

    def _contradictions(self) -> list[tuple[bool, str]]:
        crops = self.method == "resize_crop"
        return [
            (self.method not in get_args(Method), f"unknown method {self.method!r}"),
            (self.interpolation not in _RESAMPLING, f"unknown interpolation {self.interpolation!r}"),
            (self.channels not in (1, 3), "channels must be 1 or 3"),
            (not 1 <= self.crop_size <= 4096, "crop_size must be 1 to 4096 pixels"),
            (crops and not self.crop_size <= self.resize_size <= 4096, "resize_size must be crop_size to 4096 pixels"),
            (not 0 <= self.fill <= 255, "fill must be 0 to 255"),
            (len(self.mean) != self.channels or len(self.std) != self.channels, "mean and std need a value a channel"),
            (not all(value > 0 for value in self.std), "std must be positive"),
        ]

    def _crop(self, image: Image.Image) -> Image.Image:
        # Scaling only the box that is kept: the same pixels as scale-then-crop, in half the time.
        half = self.crop_size / self.resize_size * min(image.size) / 2
        x, y = image.width / 2, image.height / 2
        box = (x - half, y - half, x + half, y + half)
        return image.resize((self.crop_size, self.crop_size), _RESAMPLING[self.interpolation], box=box)

    def _letterbox(self, image: Image.Image) -> Image.Image:
        scale = self.crop_size / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        square = Image.new("RGB", (self.crop_size, self.crop_size), (self.fill,) * 3)
        left, top = (self.crop_size - size[0]) // 2, (self.crop_size - size[1]) // 2
        square.paste(image.resize(size, _RESAMPLING[self.interpolation]), (left, top))
        return square
