"""Photos that judge a run, though the weights that it starts from, or its teacher, learned from them."""

from collections.abc import Iterator
from pathlib import Path

from classifier_core.datasets.splits import Split
from classifier_core.training import run_folder
from classifier_core.training.config import TrainConfig


def find_leaks(config: TrainConfig, split: Split) -> Iterator[str]:
    """A sentence for each earlier run that this one builds on and that learned from this one's judges, by name."""
    judges = {part.name_of(photo) for part in (split.val, split.test) for photo in part.photos}
    for source in filter(None, (config.pretrained, config.teacher)):
        count = len(judges & run_folder.learned_names(Path(source)))
        if count:
            yield (
                f"{source} learned from {count} of the {len(judges)} photos that judge this run, so the figures will "
                "be too good. Give both runs the same --split."
            )
