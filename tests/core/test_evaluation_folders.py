"""Which class a folder of photos means, before a model is judged on it."""

from pathlib import Path

import pytest

from classifier_core.artifact import Artifact, load_artifact
from classifier_core.errors import DatasetInvalid
from classifier_core.evaluation import class_indices, strange_labels
from tests.tiny_artifact import build_tiny


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("tiny") / "artifact"
    build_tiny(folder)
    return load_artifact(folder)


def test_folder_means_a_class_by_key_or_name_in_any_writing(artifact: Artifact) -> None:
    found = class_indices(artifact, ["apple", "APPLE", "ａｐｐｌｅ", "苹果", "Kiwi", "bicycle"])

    assert found == {"apple": 0, "APPLE": 0, "ａｐｐｌｅ": 0, "苹果": 0, "Kiwi": 3}


def test_folders_that_are_no_class_are_named(artifact: Artifact) -> None:
    photos = [(Path("a"), "apple"), (Path("b"), "bicycle"), (Path("c"), "")]

    assert strange_labels(artifact, photos) == ["bicycle"]
    assert strange_labels(artifact, photos[2:], may_lack=True) == []


@pytest.mark.parametrize("label", ["aple", ""])
def test_folders_of_which_not_one_is_a_class_are_refused(artifact: Artifact, label: str) -> None:
    with pytest.raises(DatasetInvalid, match="its classes are apple, banana, cherry"):
        strange_labels(artifact, [(Path("a"), label)])
