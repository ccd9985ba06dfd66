"""Networks by name, from timm, torchvision and the files beside this one."""

import difflib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from torch import nn

from classifier_core.architectures import cbam_resnet, digits, shufflenet_v1
from classifier_core.architectures.families import FAMILIES, find_family
from classifier_core.artifact import Artifact, Tensor
from classifier_core.errors import ArtifactInvalid, UnknownArchitecture

# Networks that neither timm nor torchvision has. They come first: a later timm must not change what a name means.
_OURS: dict[str, Callable[..., nn.Module]] = {**shufflenet_v1.BUILDERS, **cbam_resnet.BUILDERS, **digits.BUILDERS}

# Auxiliary heads only help training from scratch, and would be the last layer with the right number of outputs.
_TORCHVISION_EXTRAS: dict[str, dict[str, bool]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


@cache
def list_architectures(family: str | None = None) -> tuple[str, ...]:
    """Every name `build_model` takes without a prefix, sorted; or only those of one family of `FAMILIES`.

    Raises UnknownArchitecture when there is no such family.
    """
    names = sorted(set().union(*names_by_library().values()))
    if family is None:
        return tuple(names)
    found = find_family(family)
    if found is None:
        known = ", ".join(family.name for family in FAMILIES)
        raise UnknownArchitecture(f"There is no family named {family!r}. The families are {known}.")
    return tuple(name for name in names if found.has(name))


def names_by_library() -> dict[str, frozenset[str]]:
    """Every name without a prefix, by where the network is from: `ours`, `timm`, `torchvision`."""
    return {"ours": frozenset(_OURS), "timm": frozenset(timm.list_models()), "torchvision": _torchvision_names()}


def resolve_architecture(name: str) -> str:
    """The architecture this name means: itself, or the recommended one of a family (`senet` is `seresnet18`).

    Store this one with the weights: a recommendation may change.

    Raises UnknownArchitecture.
    """
    if family := find_family(name):
        return family.recommended
    library, _, plain = name.rpartition("/")
    known = {"": plain in _OURS, "timm": timm.is_model(plain), "torchvision": plain in _torchvision_names()}
    if known.get(library) or (not library and any(known.values())):
        return name
    raise UnknownArchitecture(f"There is no architecture named {name!r}. {_suggestion(plain)}")


def build_model(name: str, *, num_classes: int, in_channels: int = 3) -> nn.Module:
    """A network with fresh random weights and a head for `num_classes`.

    A plain name is looked up here, then in timm, then in torchvision: `resnet18` is timm's, `mobilenet_v2`, which timm
    does not know, is torchvision's. `timm/resnet18` and `torchvision/resnet18` say which. The name of a family is its
    recommended network.

    Raises UnknownArchitecture.
    """
    library, _, plain = resolve_architecture(name).rpartition("/")
    if not library and plain in _OURS:
        return _OURS[plain](num_classes=num_classes, in_channels=in_channels)
    if library != "torchvision" and timm.is_model(plain):
        model: nn.Module = timm.create_model(plain, pretrained=False, num_classes=num_classes, in_chans=in_channels)
        return model
    return _build_torchvision(plain, num_classes=num_classes, in_channels=in_channels)


def restore_model(artifact: Artifact) -> nn.Module:
    """The artifact's network with its weights, float32, ready to answer (eval mode).

    Raises UnknownArchitecture, ArtifactInvalid when weights and architecture do not fit.
    """
    model = build_model(artifact.architecture, num_classes=artifact.num_classes, in_channels=artifact.in_channels)
    state = OrderedDict((name, torch.from_numpy(np.array(tensor))) for name, tensor in artifact.load_state().items())
    # The layers' version numbers, without which MNASNet takes its own weights for those of an older shape.
    state._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        words = f"{artifact.folder}: the weights do not fit the architecture {artifact.architecture}: {error}"
        raise ArtifactInvalid(words) from error
    return model.eval()


def merge_branches(model: nn.Module) -> nn.Module:
    """Turn branches that only training needs into one convolution each, in place; the answers stay the same.

    GhostNetV3 (and timm's RepVGG, MobileOne, RepGhost) answer a third faster this way. For a network in eval mode.
    Its weights no longer fit the architecture, so do this last.
    """
    for layer in list(model.modules()):
        if hasattr(layer, "reparameterize"):
            layer.reparameterize()  # type: ignore[operator]  # a method, not a tensor or module
    return model


def numpy_state(model: nn.Module) -> dict[str, Tensor]:
    """The weights as `save_artifact` takes them."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.state_dict().items()}


def _torchvision_names() -> frozenset[str]:
    return frozenset(torchvision.models.list_models(module=torchvision.models))


def _build_torchvision(name: str, *, num_classes: int, in_channels: int) -> nn.Module:
    extras: Mapping[str, Any] = _TORCHVISION_EXTRAS.get(name, {})
    model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **extras)
    if in_channels != 3:
        _replace_first_convolution(model, in_channels)
    return model


def _replace_first_convolution(model: nn.Module, in_channels: int) -> None:
    path, first = next((path, layer) for path, layer in model.named_modules() if isinstance(layer, nn.Conv2d))
    layer = nn.Conv2d(
        in_channels,
        first.out_channels,
        kernel_size=first.kernel_size,  # type: ignore[arg-type]  # a pair for Conv2d, typed wider
        stride=first.stride,  # type: ignore[arg-type]
        padding=first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    parent, _, child = path.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)


def _suggestion(name: str) -> str:
    families = [family.name for family in FAMILIES]
    close = difflib.get_close_matches(name.lower(), (*list_architectures(), *families), n=5)
    if close:
        return f"Did you mean {', '.join(close)}?"
    return f"Each of these families names one, too: {', '.join(families)}; or name any of timm or torchvision."
