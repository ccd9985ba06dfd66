from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from classifier_core.datasets.folder import Dataset, load_dataset
from classifier_core.datasets.splits import Split
from recognizer.training.splitting import chosen_split

SCENES = {
    "inside": [data.coffee(), data.chelsea(), data.astronaut()],
    "outside": [data.rocket(), data.immunohistochemistry(), data.retina()[::3, ::3]],
}


# Where the network that looks is built already.
pytestmark = [pytest.mark.usefixtures("looking"), pytest.mark.xdist_group("documented")]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Dataset:
    """Each scene twice: once without its right edge, once without its left one."""
    root = tmp_path_factory.mktemp("scenes")
    for label, pictures in SCENES.items():
        (root / label).mkdir()
        for number, picture in enumerate(pictures):
            width, height = Image.fromarray(picture).size
            edge = round(0.12 * width)
            for side, box in {"left": (0, 0, width - edge, height), "right": (edge, 0, width, height)}.items():
                Image.fromarray(picture).crop(box).save(root / label / f"{number}-{side}.png")
    return load_dataset(root)


def torn(split: Split) -> set[Path]:
    """The scenes whose two photos lie in different parts."""
    places: dict[Path, set[str]] = {}
    for name, part in split.parts().items():
        for photo in part.photos:
            places.setdefault(photo.path.with_name(photo.path.name.partition("-")[0]), set()).add(name)
    return {scene for scene, names in places.items() if len(names) > 1}


def split(scenes: Dataset, *, features: bool) -> Split:
    return chosen_split(scenes, split=None, val_share=0.33, test_share=0.33, split_seed=0, features=features)


def test_photos_of_one_thing_stay_in_one_part(scenes):
    assert not torn(split(scenes, features=True))


def test_without_features_only_near_duplicates_do(scenes):
    assert torn(split(scenes, features=False))
