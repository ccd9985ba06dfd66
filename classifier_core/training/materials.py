"""The photos of a run, read into memory, with a warning for each thing that is odd about them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier_core.datasets.folder import Dataset, hash_or_nothing, photos_below
from classifier_core.datasets.splits import Split, warnings_of
from classifier_core.errors import DatasetInvalid, TrainingFailed
from classifier_core.preprocessing import Preprocessing
from classifier_core.training.augmentation import recipe_of
from classifier_core.training.config import TrainConfig
from classifier_core.training.learner import NO_LABEL
from classifier_core.training.pictures import Pictures, Unreadable, read_pictures, working_copies
from classifier_core.training.sampling import Targets
from classifier_core.training.watching import Watch

_SHOWN = 3  # unreadable photos that are named


@dataclass(frozen=True)
class Materials:
    """What can be learned from and judged by."""

    train: Dataset
    train_pictures: Pictures  # and behind those of `train`, the photos that only the teacher judges
    targets: Targets  # of all of `train_pictures`
    val: Dataset
    val_pictures: Pictures
    unreadable: tuple[Unreadable, ...]


def read_materials(
    split: Split, config: TrainConfig, preprocessing: Preprocessing, *, warn: Callable[[str], None], watch: Watch
) -> Materials:
    """Decode the photos once. Raises DatasetInvalid when too few are left, TrainingFailed."""
    val, val_pictures, bad_val = read_pictures(
        split.val, preprocessing.load, max_bytes=config.cache_bytes, words="reading validation photos", watch=watch
    )
    more = _unjudged(find_photos(Path(config.more_photos)), split) if config.more_photos else []
    crops = recipe_of(config).crops and not config.freeze  # what is frozen sees each photo as it is served
    train, train_pictures, bad_train = read_pictures(
        split.train,
        working_copies(preprocessing) if crops else preprocessing.load,
        more=more,
        max_bytes=config.cache_bytes - val_pictures.num_bytes,
        words="reading training photos",
        watch=watch,
    )
    num_more = len(train_pictures) - len(train.photos)
    targets = np.concatenate([train.targets, np.full(num_more, NO_LABEL)])
    unreadable = (*bad_train, *bad_val)
    check_parts(train, val)
    for words in [
        *_left_out(unreadable, len(split.train.photos) + len(split.val.photos) + len(more)),
        *warnings_of(Split(train, val, split.test)),
    ]:
        warn(words)
    return Materials(train, train_pictures, targets, val, val_pictures, unreadable)


def _unjudged(photos: Sequence[Path], split: Split) -> list[Path]:
    """Those that are not, byte for byte, among the photos that judge: a teacher's word on these would be a leak."""
    judges = {hash_or_nothing(photo.path) for part in (split.val, split.test) for photo in part.photos}
    return [path for path in photos if hash_or_nothing(path) not in judges]


def check_parts(train: Dataset, val: Dataset) -> None:
    """Raises DatasetInvalid when nothing can be learned or nothing can be judged."""
    empty = [label for label, count in train.count().items() if not count]
    if empty:
        many = "" if len(empty) == 1 else f" and {len(empty) - 1} more"
        raise DatasetInvalid(
            f"There is no readable training photo of {empty[0]!r}{many}. Add photos, or take the class out."
        )
    if not val.photos:
        raise DatasetInvalid("There is no readable validation photo, so nothing can be judged. Add photos.")


def find_photos(folder: Path) -> list[Path]:
    """All photos below the folder, whatever they show. Raises TrainingFailed when there are none."""
    paths = photos_below(folder)
    if not paths:
        raise TrainingFailed(f"There are no photos in {folder}. Name a folder that holds some.")
    return paths


def _left_out(unreadable: Sequence[Unreadable], num_photos: int) -> list[str]:
    if not unreadable:
        return []
    names = ", ".join(one.path.name for one in unreadable[:_SHOWN])
    rest = ", ..." if len(unreadable) > _SHOWN else ""
    return [f"Left out, because they cannot be read: {len(unreadable)} of {num_photos} photos ({names}{rest})."]
