"""MobileNetV2 cut down for handwritten digits of 28x28 grey pixels.

Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv 1801.04381. Its
blocks, but a stem that keeps the size, two halvings instead of five (the last feature map is 7x7), and an eighth of the
blocks' channels.
"""

import torch
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.ops.misc import Conv2dNormActivation

# Expansion, channels, number of blocks, stride of the first: the rows of the paper's table 2.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2), (6, 64, 1, 1))
_STEM, _LAST = 16, 256  # channels


class DigitsMobileNetV2(nn.Module):
    """Takes pictures of about 28x28 pixels; with `in_channels` 1 they are grey."""

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(in_channels, _STEM, kernel_size=3)]
        channels = _STEM
        for expansion, width, blocks, stride in _STAGES:
            for number in range(blocks):
                layers.append(InvertedResidual(channels, width, stride if number == 0 else 1, expansion))
                channels = width
        self.features = nn.Sequential(*layers, _convolution(channels, _LAST, kernel_size=1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(_LAST, num_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised pictures [N, in_channels, H, W] in, logits [N, num_classes] out."""
        return self.classifier(self.features(images).mean((2, 3)))  # type: ignore[no-any-return]


def _convolution(in_channels: int, out_channels: int, *, kernel_size: int) -> nn.Module:
    layer: nn.Module = Conv2dNormActivation(
        in_channels, out_channels, kernel_size=kernel_size, activation_layer=nn.ReLU6
    )
    return layer


BUILDERS = {"mobilenet_v2_digits": DigitsMobileNetV2}
