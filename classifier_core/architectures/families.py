"""The families of networks by their plain names, with one light member of each to start with."""

from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Family:
    """A line of networks that one paper describes.

    `name` is also a name for `build_model`: it means `recommended`. `members` are patterns over the architectures.
    """

    name: str
    title: str
    paper: str  # its title
    arxiv: str  # its number, or another address where the paper is not there
    recommended: str
    members: tuple[str, ...]
    image_size: int = 224  # pixels, what the network was drawn for
    in_channels: int = 3

    def has(self, architecture: str) -> bool:
        """Whether this architecture is of the family."""
        return any(fnmatch(architecture, pattern) for pattern in self.members)


FAMILIES = (
    Family(
        name="alexnet",
        title="AlexNet",
        paper="One weird trick for parallelizing convolutional neural networks",
        arxiv="1404.5997",
        recommended="alexnet",
        members=("alexnet",),
    ),
    Family(
        name="vgg",
        title="VGG",
        paper="Very Deep Convolutional Networks for Large-Scale Image Recognition",
        arxiv="1409.1556",
        recommended="vgg11_bn",
        members=("vgg*",),
    ),
    Family(
        name="resnet",
        title="ResNet",
        paper="Deep Residual Learning for Image Recognition",
        arxiv="1512.03385",
        recommended="resnet18",
        members=("resnet*", "wide_resnet*"),
    ),
    Family(
        name="resnext",
        title="ResNeXt",
        paper="Aggregated Residual Transformations for Deep Neural Networks",
        arxiv="1611.05431",
        recommended="resnext50_32x4d",
        members=("resnext*",),
    ),
    Family(
        name="googlenet",
        title="GoogLeNet",
        paper="Going Deeper with Convolutions",
        arxiv="1409.4842",
        recommended="googlenet",
        members=("googlenet",),
    ),
    Family(
        name="inception",
        title="Inception",
        paper="Rethinking the Inception Architecture for Computer Vision",
        arxiv="1512.00567",
        recommended="inception_v3",
        members=("inception_v*", "inception_resnet*"),
        image_size=299,
    ),
    Family(
        name="xception",
        title="Xception",
        paper="Xception: Deep Learning with Depthwise Separable Convolutions",
        arxiv="1610.02357",
        recommended="legacy_xception",
        members=("xception*", "legacy_xception"),
        image_size=299,
    ),
    Family(
        name="senet",
        title="SENet",
        paper="Squeeze-and-Excitation Networks",
        arxiv="1709.01507",
        recommended="seresnet18",
        members=("seresn*", "senet*", "legacy_se*"),
    ),
    Family(
        name="sknet",
        title="SKNet",
        paper="Selective Kernel Networks",
        arxiv="1903.06586",
        recommended="skresnet18",
        members=("skresn*",),
    ),
    Family(
        name="resnest",
        title="ResNeSt",
        paper="ResNeSt: Split-Attention Networks",
        arxiv="2004.08955",
        recommended="resnest14d",
        members=("resnest*",),
    ),
    Family(
        name="cbam",
        title="CBAM",
        paper="CBAM: Convolutional Block Attention Module",
        arxiv="1807.06521",
        recommended="cbam_resnet18",
        members=("cbam_*",),
    ),
    Family(
        name="mobilenet_v1",
        title="MobileNetV1",
        paper="MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
        arxiv="1704.04861",
        recommended="mobilenetv1_100",
        members=("mobilenetv1_*",),
    ),
    Family(
        name="mobilenet_v2",
        title="MobileNetV2",
        paper="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        arxiv="1801.04381",
        recommended="mobilenet_v2",
        members=("mobilenetv2_*", "mobilenet_v2"),
    ),
    Family(
        name="mobilenet_v3",
        title="MobileNetV3",
        paper="Searching for MobileNetV3",
        arxiv="1905.02244",
        recommended="mobilenetv3_small_100",
        members=("mobilenetv3_*", "mobilenet_v3_*", "tf_mobilenetv3_*"),
    ),
    Family(
        name="mobilenet_v4",
        title="MobileNetV4",
        paper="MobileNetV4: Universal Models for the Mobile Ecosystem",
        arxiv="2404.10518",
        recommended="mobilenetv4_conv_small",
        members=("mobilenetv4_*",),
    ),
    Family(
        name="shufflenet_v1",
        title="ShuffleNetV1",
        paper="ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
        arxiv="1707.01083",
        recommended="shufflenet_v1_x1_0",
        members=("shufflenet_v1_*",),
    ),
    Family(
        name="shufflenet_v2",
        title="ShuffleNetV2",
        paper="ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
        arxiv="1807.11164",
        recommended="shufflenet_v2_x1_0",
        members=("shufflenet_v2_*",),
    ),
    Family(
        name="squeezenet",
        title="SqueezeNet",
        paper="SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
        arxiv="1602.07360",
        recommended="squeezenet1_1",
        members=("squeezenet*",),
    ),
    Family(
        name="efficientnet",
        title="EfficientNet",
        paper="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        arxiv="1905.11946",
        recommended="efficientnet_b0",
        members=("efficientnet_b*", "tf_efficientnet_b*"),
    ),
    Family(
        name="efficientnet_lite",
        title="EfficientNet-Lite",
        paper="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        arxiv="1905.11946",
        recommended="efficientnet_lite0",
        members=("efficientnet_lite*", "tf_efficientnet_lite*"),
    ),
    Family(
        name="mnasnet",
        title="MnasNet",
        paper="MnasNet: Platform-Aware Neural Architecture Search for Mobile",
        arxiv="1807.11626",
        recommended="mnasnet_100",
        members=("mnasnet*", "semnasnet*"),
    ),
    Family(
        name="ghostnet",
        title="GhostNet",
        paper="GhostNet: More Features from Cheap Operations",
        arxiv="1911.11907",
        recommended="ghostnet_100",
        members=("ghostnet_*",),
    ),
    Family(
        name="ghostnet_v2",
        title="GhostNetV2",
        paper="GhostNetV2: Enhance Cheap Operation with Long-Range Attention",
        arxiv="2211.12905",
        recommended="ghostnetv2_100",
        members=("ghostnetv2_*",),
    ),
    Family(
        name="ghostnet_v3",
        title="GhostNetV3",
        paper="GhostNetV3: Exploring the Training Strategies for Compact Models",
        arxiv="2404.11202",
        recommended="ghostnetv3_100",
        members=("ghostnetv3_*",),
    ),
    Family(
        name="digits",
        title="MobileNetV2 for digits",
        paper="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        arxiv="1801.04381",
        recommended="mobilenet_v2_digits",
        members=("mobilenet_v2_digits",),
        image_size=28,
        in_channels=1,
    ),
)


def find_family(name: str) -> Family | None:
    """The family of this plain name, however it is spelled: `mobilenet_v2`, `MobileNetV2`, `mobilenet-v2`."""
    return next((family for family in FAMILIES if _plain(name) in (_plain(family.name), _plain(family.title))), None)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
