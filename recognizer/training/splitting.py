"""Which photos train, choose and judge, as the commands that train are told."""

from argparse import ArgumentParser, _ArgumentGroup
from pathlib import Path
from typing import Any

from classifier_core.datasets.folder import Dataset
from classifier_core.datasets.looks import look_at
from classifier_core.datasets.splits import Split, read_lists, split_dataset, split_of_folders
from recognizer.training.alike import add_no_features, group_alike


def add_split_options(parser: ArgumentParser | _ArgumentGroup) -> None:
    """--split, --val-share, --test-share, --split-seed and --no-features."""
    parser.add_argument("--split", type=Path, help="folder with train.txt, val.txt and test.txt (see `dataset split`)")
    parser.add_argument("--val-share", type=float, default=0.15, help="of the photos, for choosing (default: 0.15)")
    parser.add_argument("--test-share", type=float, default=0.15, help="of the photos, for judging (default: 0.15)")
    parser.add_argument("--split-seed", type=int, default=0, help="another one gives another split (default: 0)")
    add_no_features(parser)


def chosen_split(
    dataset: Dataset,
    *,
    split: Path | None,
    val_share: float,
    test_share: float,
    split_seed: int,
    features: bool,
    **_: Any,
) -> Split:
    """The lists that are named, else the data's own folders train, val and test, else a fresh split.

    Raises DatasetInvalid, OSError.
    """
    if split is not None:
        return read_lists(split, dataset.root)
    if (done := split_of_folders(dataset)) is not None:
        return done
    groups = group_alike(dataset.photos, look_at(dataset.photos), features=features)
    return split_dataset(dataset, groups=groups, val=val_share, test=test_share, seed=split_seed)
