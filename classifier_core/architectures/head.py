"""The layer that gives the logits: where it is, and a new one for other classes."""

from torch import nn

from classifier_core.errors import ClassifierError


def find_head(model: nn.Module) -> str:
    """Name of the layer that gives the logits, as in the weights file. Raises ClassifierError when there is none."""
    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    if not layers:
        raise ClassifierError("This network has no layer that could give scores.")
    stated: object = getattr(model, "pretrained_cfg", {}).get("classifier")
    # timm says which layer it is; in torchvision it is the last one.
    return stated if isinstance(stated, str) and stated in layers else layers[-1]


def reset_head(model: nn.Module, num_classes: int) -> str:
    """Give the model, in place, a fresh head for `num_classes`; all other weights stay. Gives the head's name.

    Small random weights and no bias (the initialisation of MobileNetV2's head): the first scores are about equal.

    Raises ClassifierError when the network has no head.
    """
    name = find_head(model)
    parent, _, child = name.rpartition(".")
    head = _fresh_like(model.get_submodule(name), num_classes)
    setattr(model.get_submodule(parent), child, head)
    if hasattr(model, "num_classes"):
        model.num_classes = num_classes  # type: ignore[assignment]  # a plain number, not a module
    return name


def _fresh_like(old: nn.Module, num_classes: int) -> nn.Module:
    head: nn.Linear | nn.Conv2d
    if isinstance(old, nn.Conv2d):
        head = nn.Conv2d(old.in_channels, num_classes, kernel_size=1, bias=old.bias is not None)
    elif isinstance(old, nn.Linear):
        head = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    else:
        raise ClassifierError(f"A head of type {type(old).__name__} cannot be replaced.")
    nn.init.normal_(head.weight, std=0.01)
    if head.bias is not None:
        nn.init.zeros_(head.bias)
    return head.to(old.weight).train(old.training)
