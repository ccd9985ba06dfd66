"""What computes, in which precision, and with whom."""

import os
from dataclasses import dataclass

import torch

from classifier_core.errors import TrainingFailed
from classifier_core.training.processes import Place


@dataclass(frozen=True)
class Machine:
    """Where one process of a run computes."""

    device: torch.device
    precision: torch.dtype
    place: Place


def choose_device(name: str) -> torch.device:
    """The device of this process: under torchrun, each takes its own GPU. Raises TrainingFailed."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise TrainingFailed("torch finds no CUDA device. Choose the device cpu, or install a driver.")
    torch.backends.cudnn.deterministic = True  # the same seed shall give the same network
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """What the network computes in while it learns; it is judged in float32.

    `auto` is bfloat16 where the hardware has it. Elsewhere torch only imitates it, slower than float32. Weights, their
    averages and the optimizer's state are float32 always. Raises TrainingFailed.
    """
    has_bfloat16 = torch.cuda.is_bf16_supported(False) if device.type == "cuda" else _cpu_has_bfloat16()
    if name == "bfloat16" and device.type == "cuda" and not has_bfloat16:
        raise TrainingFailed("This GPU does not compute in bfloat16. Choose float32.")
    return torch.bfloat16 if name == "bfloat16" or (name == "auto" and has_bfloat16) else torch.float32


def _cpu_has_bfloat16() -> bool:
    abilities = torch.cpu.get_capabilities()
    return any(abilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))
