from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from classifier_core.crops import sample_crops
from classifier_core.preprocessing import Preprocessing

INTERPOLATION = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def smooth(width: int, height: int) -> Image.Image:
    """A picture with structure everywhere, and none finer than many pixels."""
    noise = np.random.default_rng(0).integers(0, 255, (height // 32 + 3, width // 32 + 3, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def torchvision_pixels(image: Image.Image, how: Preprocessing) -> np.ndarray:
    resized = functional.resize(image, [how.resize_size], interpolation=INTERPOLATION[how.interpolation])
    return np.asarray(functional.center_crop(resized, [how.crop_size, how.crop_size]))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (640, 427), (300, 300), (230, 900), (100, 120)])
def test_resize_crop_equals_torchvision(size, interpolation):
    how = Preprocessing(interpolation=interpolation)
    image = smooth(*size)

    difference = np.abs(how.apply(image).astype(int) - torchvision_pixels(image, how).astype(int))

    # torchvision rounds the scaled size and the crop's corner to whole pixels: up to one pixel of shift.
    assert difference.mean() < 3


def test_exact_geometry_gives_exact_pixels():
    how = Preprocessing()
    image = smooth(512, 256)

    assert np.array_equal(how.apply(image), torchvision_pixels(image, how))


def test_crop_is_the_middle():
    image = Image.new("RGB", (400, 200), "black")
    image.paste("white", (100, 0, 300, 200))

    assert Preprocessing(resize_size=224).apply(image)[:, 2:-2].min() == 255


def test_letterbox_keeps_everything():
    pixels = Preprocessing(method="letterbox", crop_size=100, fill=7).apply(Image.new("RGB", (400, 200), "white"))

    assert (pixels[:25] == 7).all()
    assert (pixels[25:75] == 255).all()
    assert (pixels[75:] == 7).all()


@pytest.mark.parametrize("method", ["resize_crop", "letterbox"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_extreme_shapes_are_taken(method, size):
    assert Preprocessing(method=method).apply(Image.new("RGB", size)).shape == (224, 224, 3)


@pytest.mark.parametrize("method", ["resize_crop", "letterbox"])
def test_load_reads_a_file(method):
    file = BytesIO()
    smooth(4000, 3000).save(file, "JPEG", quality=95)
    how = Preprocessing(method=method)

    loaded, reference = how.load(file.getvalue()), how.apply(smooth(4000, 3000))

    assert loaded.dtype == np.uint8
    assert np.abs(loaded.astype(int) - reference.astype(int)).mean() < 4  # reduced-scale decode


def test_one_channel_is_grey():
    how = Preprocessing(channels=1, mean=(0.1,), std=(0.3,))

    pixels = how.apply(Image.new("RGB", (300, 300), "red"))

    assert pixels.shape == (224, 224, 1)
    assert pixels[0, 0, 0] == 76  # 0.299 * 255


def test_dict_and_back():
    how = Preprocessing(method="letterbox", interpolation="bicubic", mean=(0.5,) * 3, std=(0.25,) * 3)

    assert Preprocessing.from_dict(how.to_dict()) == how


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "squeeze"}, {"interpolation": "nearest"}, {"channels": 2}, {"crop_size": 0}, {"resize_size": 200},
        {"mean": (0.5,)}, {"std": (0.5, 0.5, 0.0)}, {"fill": 256},
    ],
)  # fmt: skip
def test_senseless_values_are_refused(wrong):
    with pytest.raises(ValueError, match="preprocessing"):
        Preprocessing(**wrong)


def test_unknown_entries_are_refused():
    with pytest.raises(ValueError, match="rotate"):
        Preprocessing.from_dict(Preprocessing().to_dict() | {"rotate": 3})


def test_crops_are_the_same_each_time():
    first, again = sample_crops(Preprocessing(), 4), sample_crops(Preprocessing(), 4)

    assert torch.equal(*(torch.from_numpy(np.stack(crops)) for crops in (first, again)))
    assert len({crop.tobytes() for crop in first}) == 4
