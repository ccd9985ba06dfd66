"""Which part of a photo spoke for an answer: class activation maps by Grad-CAM (Selvaraju 2016, arXiv 1610.02391)."""

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from classifier_core.architectures import ObservedNetwork
from classifier_core.preprocessing import Pixels

Map = npt.NDArray[np.float32]

_OPACITY = 0.55  # of the colours over the photo


@torch.enable_grad()
def activation_maps(network: ObservedNetwork, images: torch.Tensor, classes: torch.Tensor) -> Map:
    """How much each place of normalised images [N, C, H, W] spoke for the class [N] of each: [N, h, w], 0 to 1.

    All zeros where nothing spoke for it.
    """
    logits, _, feature_map = network(images.detach().requires_grad_())
    [gradient] = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), feature_map)
    maps = (gradient.mean((2, 3), keepdim=True) * feature_map).sum(1).relu().detach()
    shares: Map = (maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-12)).cpu().numpy()
    return shares


def lay_over(pixels: Pixels, activation: Map) -> Image.Image:
    """The photo, uint8 [H, W, C], in grey under the map [h, w] in colours: bright is where it spoke."""
    photo = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).convert("L").convert("RGB")
    values = np.asarray(Image.fromarray(activation).resize(photo.size, Image.Resampling.BICUBIC)).clip(0, 1)
    colours = (255 * mpl.colormaps["inferno"](values)[:, :, :3]).astype(np.uint8)
    return Image.blend(photo, Image.fromarray(colours), _OPACITY)
