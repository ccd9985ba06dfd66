"""Flipped labels among photos that a real network looks at: how many of them are ranked first."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier_core.datasets.folder import load_dataset
from recognizer.registry.models import RegisteredModel
from recognizer.training.importing import import_base_photos
from recognizer.training.models import BasePhoto
from tests.photos import photos
from tests.training.checkup_rows import checked, found
from tests.training.snapshot_rows import noise

pytestmark = [pytest.mark.usefixtures("looking"), pytest.mark.django_db, pytest.mark.slow]


def given(folder: Path) -> RegisteredModel:
    """A model with these base photos."""
    model = RegisteredModel.objects.create(name="own")
    import_base_photos(load_dataset(folder), model, adds_classes=True, by=None)
    return model


def flip_some(model: RegisteredModel, share: float) -> set[str]:
    """This share of the labels becomes another one; gives the SHA-256 of those photos."""
    chance, labels = random.Random(0), list(model.labels.all())
    rows = list(BasePhoto.objects.filter(model=model).order_by("source"))
    some = chance.sample(rows, round(share * len(rows)))
    for row in some:
        others = [label for label in labels if label.pk != row.label_id]
        BasePhoto.objects.filter(pk=row.pk).update(label=chance.choice(others))
    return {row.blob_id for row in some}


def recall_at_number_flipped(model: RegisteredModel, flipped: set[str]) -> float:
    suspects = [one.blob_id for one in found(checked(model), "label")]
    recall = len(flipped & set(suspects[: len(flipped)])) / len(flipped)
    sys.stdout.write(f"Of {len(flipped)} flipped labels {recall:.0%} are among the first {len(flipped)} suspects.\n")
    return recall


def write_stripes_and_blots(root: Path, each: int) -> Path:
    """Photos of two classes, no two alike."""
    for label in ("blots", "stripes"):
        (root / label).mkdir(parents=True)
    for seed in range(each):
        noise(seed).save(root / "blots" / f"{seed:03}.png")
        stripes(1000 + seed).save(root / "stripes" / f"{seed:03}.png")
    return root


def stripes(seed: int, side: int = 200) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 255, (1, 13, 3)).astype(np.uint8)
    return Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)


def test_flipped_labels_are_found_by_what_a_network_sees(tmp_path: Path):
    model = given(write_stripes_and_blots(tmp_path / "made", 30))

    # To the network all blots are alike: one group, which must not be held out as a whole.
    assert recall_at_number_flipped(model, flip_some(model, 0.1)) == 1


@pytest.mark.long
def test_flipped_labels_of_fruit_are_found(tmp_path: Path):
    model = given(photos("fruit"))

    assert recall_at_number_flipped(model, flip_some(model, 0.05)) >= 0.9
