"""What a network costs: parameters to store and train, arithmetic for one picture."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from classifier_core.errors import PictureTooSmall


@dataclass(frozen=True)
class Cost:
    """Figures of one network at one picture size."""

    num_parameters: int
    num_trainable: int  # parameters that training changes: fewer with a frozen backbone
    flops: int  # for one picture; a multiplication and an addition are two, as torch counts


def measure_cost(model: nn.Module, *, in_channels: int, size: int) -> Cost:
    """Counts parameters, and the operations of one forward pass over a picture of `size` pixels.

    Built on the device "meta", the model needs neither memory nor time. Raises PictureTooSmall.
    """
    parameters = list(model.parameters())
    image = torch.zeros(1, in_channels, size, size, device=parameters[0].device)
    was_training = model.training
    model.eval()
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(image)
    except RuntimeError as error:  # torch has no type of its own for it
        raise PictureTooSmall(
            f"This network does not take pictures of {size} pixels: {error}. Use larger ones."
        ) from error
    model.train(was_training)
    return Cost(
        num_parameters=sum(parameter.numel() for parameter in parameters),
        num_trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        flops=counter.get_total_flops(),
    )
