"""ShuffleNetV1, which neither timm nor torchvision has.

Zhang, Zhou, Lin, Sun: ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices,
arXiv 1707.01083. Three groups, the paper's choice for comparisons; widths of its table 1, at the other scales those of
the authors' code (github.com/megvii-model/ShuffleNet-Series).
"""

from functools import partial

import torch
from torch import nn
from torchvision.models.shufflenetv2 import channel_shuffle

_GROUPS = 3
_UNITS = (4, 8, 4)  # in stages 2 to 4


class ShuffleUnit(nn.Module):
    """Figure 2 of the paper: with stride 1 the input is added, with stride 2 it is pooled and put beside the result."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, groups: int = _GROUPS) -> None:
        super().__init__()
        middle = out_channels // 4
        added = out_channels - in_channels if stride == 2 else out_channels
        self.shrink = nn.Sequential(_pointwise(in_channels, middle, groups=groups), nn.ReLU(inplace=True))
        self.depthwise = nn.Sequential(
            nn.Conv2d(middle, middle, 3, stride=stride, padding=1, groups=middle, bias=False), nn.BatchNorm2d(middle)
        )
        self.expand = _pointwise(middle, added, groups=_GROUPS)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in_channels, H, W] in, [N, out_channels, H/stride, W/stride] out."""
        branch = self.expand(self.depthwise(channel_shuffle(self.shrink(x), _GROUPS)))
        joined = x + branch if self.pool is None else torch.cat((self.pool(x), branch), dim=1)
        return self.activation(joined)  # type: ignore[no-any-return]


class ShuffleNetV1(nn.Module):
    """`widths`: channels of the stem and of stages 2 to 4."""

    def __init__(self, widths: tuple[int, int, int, int], *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        stages = zip(widths, widths[1:], _UNITS, strict=False)
        self.stages = nn.Sequential(*(_stage(*stage, is_first=number == 0) for number, stage in enumerate(stages)))
        self.fc = nn.Linear(widths[-1], num_classes)
        self.apply(_initialise)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images [N, in_channels, H, W] in, logits [N, num_classes] out."""
        features = self.stages(self.stem(images)).mean((2, 3))
        return self.fc(features)  # type: ignore[no-any-return]


def _pointwise(in_channels: int, out_channels: int, *, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, groups=groups, bias=False), nn.BatchNorm2d(out_channels)
    )


def _stage(in_channels: int, out_channels: int, units: int, *, is_first: bool) -> nn.Sequential:
    # The stem has too few channels to be split into groups (section 3.3 of the paper).
    first = ShuffleUnit(in_channels, out_channels, stride=2, groups=1 if is_first else _GROUPS)
    return nn.Sequential(first, *(ShuffleUnit(out_channels, out_channels, stride=1) for _ in range(units - 1)))


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)


BUILDERS = {
    "shufflenet_v1_x0_5": partial(ShuffleNetV1, (12, 120, 240, 480)),
    "shufflenet_v1_x1_0": partial(ShuffleNetV1, (24, 240, 480, 960)),
    "shufflenet_v1_x1_5": partial(ShuffleNetV1, (24, 360, 720, 1440)),
    "shufflenet_v1_x2_0": partial(ShuffleNetV1, (48, 480, 960, 1920)),
}
