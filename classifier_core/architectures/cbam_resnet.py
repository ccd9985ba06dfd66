"""ResNet with the Convolutional Block Attention Module: timm has both, but no network of the two.

Woo, Park, Lee, Kweon: CBAM: Convolutional Block Attention Module, arXiv 1807.06521. As in its figure 3, each residual
block weighs its channels, then its places, before the shortcut is added; reduction 16 and a 7x7 kernel, its tables 2
and 3.
"""

from functools import partial
from typing import Any

from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn


# Any: timm's annotation asks for an instance of a block, but it takes the class.
def _build(block: Any, layers: tuple[int, ...], *, num_classes: int, in_channels: int) -> nn.Module:
    attention = {"attn_layer": "cbam"}
    return ResNet(block, layers, num_classes=num_classes, in_chans=in_channels, block_args=attention)


BUILDERS = {
    "cbam_resnet18": partial(_build, BasicBlock, (2, 2, 2, 2)),
    "cbam_resnet34": partial(_build, BasicBlock, (3, 4, 6, 3)),
    "cbam_resnet50": partial(_build, Bottleneck, (3, 4, 6, 3)),
    "cbam_resnet101": partial(_build, Bottleneck, (3, 4, 23, 3)),
}
