"""Several processes that train one network together, started by torchrun; alone, everything here does nothing."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is."""

    rank: int = 0
    num_processes: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0


@contextmanager
def joined(device: torch.device) -> Iterator[Place]:
    """This process's place among those torchrun started."""
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if num_processes == 1:
        yield Place()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Place(dist.get_rank(), num_processes)
    finally:
        dist.destroy_process_group()


def share_gradients(network: nn.Module, place: Place) -> nn.Module:
    """The network to call while training: with others, its gradients are averaged over all processes."""
    return network if place.num_processes == 1 else nn.parallel.DistributedDataParallel(network)


def share_statistics(network: nn.Module, place: Place) -> None:
    """Give every process the first one's batch-norm statistics: all judge the network that is kept."""
    if place.num_processes > 1:
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def gather(rows: torch.Tensor, place: Place) -> torch.Tensor:
    """The rows [N, ...] of all processes, in order; each must have the same number."""
    if place.num_processes == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(place.num_processes)]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def all_agree(text: str, place: Place, device: torch.device) -> bool:
    """Whether all processes have the same text."""
    digest = hashlib.sha256(text.encode()).digest()
    rows = gather(torch.tensor([list(digest)], dtype=torch.uint8, device=device), place)
    return bool((rows == rows[0]).all())


def add_up(values: torch.Tensor, place: Place) -> torch.Tensor:
    """The sum over all processes."""
    if place.num_processes > 1:
        dist.all_reduce(values)
    return values
