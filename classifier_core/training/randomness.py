"""Random numbers that depend on the seed and the place in the run alone, so that a resumed run draws the same."""

import numpy as np
import torch


def seed_of(*place: int) -> int:
    """A seed for this place: the run's seed, then a purpose, an epoch, a step, a process."""
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)  # torch takes signed seeds


def generator_for(*place: int) -> torch.Generator:
    """A generator that starts at this place."""
    return torch.Generator().manual_seed(seed_of(*place))
