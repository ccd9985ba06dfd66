"""Photos that judge a run, though the weights that it starts from, or its teacher, learned from them."""

from collections.abc import Iterator
from pathlib import Path

from classifier_core.datasets.splits import Split
from classifier_core.training import run_folder
from classifier_core.training.config import TrainConfig


def find_leaks(config: TrainConfig, split: Split) -> Iterator[str]:
    """A sentence for each run whose weights this one takes and that learned from photos with its judges' names.

    Only those two runs are looked at, not what they started from themselves.
    """
    judges = {part.name_of(photo) for part in (split.val, split.test) for photo in part.photos}
    for source in filter(None, (config.pretrained, config.teacher)):
        count = len(judges & run_folder.learned_names(Path(source)))
        if count:
            yield (
                f"{source} learned from photos with the names of {count} of the {len(judges)} that judge this run. If "
                "they are the same, the figures will be too good: give both runs the same --split."
            )
