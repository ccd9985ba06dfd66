"""The table of networks in docs/training.md against the networks."""

from pathlib import Path

import pytest
import torch

from classifier_core.architectures import FAMILIES, build_model, measure_cost

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_row_says_what_the_network_costs(family):
    with torch.device("meta"):
        model = build_model(family.recommended, num_classes=1000, in_channels=family.in_channels)
    cost = measure_cost(model, in_channels=family.in_channels, size=min(family.image_size, 224))

    paper = f"[{family.arxiv}](https://arxiv.org/abs/{family.arxiv})"
    names = f"| {family.title} | `{family.name}` | `{family.recommended}` | {paper}"
    assert f"{names} | {cost.num_parameters / 1e6:.3g} | {cost.flops / 1e9:.3g} |" in TEXT
