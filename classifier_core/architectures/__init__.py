"""Networks by name, from timm, torchvision and here. Weights are never downloaded."""

from classifier_core.architectures.build import (
    build_model,
    list_architectures,
    merge_branches,
    numpy_state,
    resolve_architecture,
    restore_model,
)
from classifier_core.architectures.cost import Cost, measure_cost
from classifier_core.architectures.families import FAMILIES, Family
from classifier_core.architectures.head import find_head, reset_head
from classifier_core.architectures.observed import ObservedNetwork, Outputs

__all__ = [
    "FAMILIES",
    "Cost",
    "Family",
    "ObservedNetwork",
    "Outputs",
    "build_model",
    "find_head",
    "list_architectures",
    "measure_cost",
    "merge_branches",
    "numpy_state",
    "reset_head",
    "resolve_architecture",
    "restore_model",
]
