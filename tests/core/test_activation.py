"""Class activation maps point at what the answer came from."""

import numpy as np
import torch
from torch import nn

from classifier_core.activation import activation_maps, lay_over
from classifier_core.architectures import ObservedNetwork


class RedOrBlue(nn.Module):
    """Class 0 speaks for red anywhere, class 1 for blue."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 2, 1, bias=False)
        self.look.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, :, None, None]
        self.smaller = nn.AvgPool2d(4)
        self.head = nn.Linear(2, 2, bias=False)
        self.head.weight.data = torch.eye(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.smaller(self.look(images)).mean((2, 3)))


def red_left_blue_right() -> torch.Tensor:
    images = torch.zeros(1, 3, 16, 16)
    images[:, 0, :, :8] = 1
    images[:, 2, :, 8:] = 1
    return images


def test_map_is_bright_where_the_class_is():
    network = ObservedNetwork(RedOrBlue(), num_classes=2, in_channels=3, size=16)
    images = red_left_blue_right().repeat(2, 1, 1, 1)

    red, blue = activation_maps(network, images, torch.tensor([0, 1]))

    assert red.shape == (4, 4)
    assert np.array_equal(red, np.array([[1, 1, 0, 0]] * 4))
    assert np.array_equal(blue, np.array([[0, 0, 1, 1]] * 4))


def test_frozen_network_has_maps_and_nothing_speaks_where_nothing_is():
    network = ObservedNetwork(RedOrBlue().requires_grad_(False), num_classes=2, in_channels=3, size=16)

    [nothing] = activation_maps(network, torch.zeros(1, 3, 16, 16), torch.tensor([0]))

    assert not nothing.any()


def test_photo_is_brighter_under_the_map():
    pixels = np.full((16, 16, 3), 100, np.uint8)

    laid = np.asarray(lay_over(pixels, np.array([[1, 0], [1, 0]], np.float32))).astype(int)

    assert laid.shape == (16, 16, 3)
    assert laid[:, 0].sum() > 2 * laid[:, -1].sum()
    assert np.asarray(lay_over(pixels[:, :, :1], np.zeros((2, 2), np.float32))).shape == (16, 16, 3)
