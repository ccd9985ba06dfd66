"""Copies of a photo: one is used, and never on two sides of the split."""

import pytest
from PIL import Image
from skimage import data

from recognizer.registry.models import RegisteredModel
from recognizer.training.models import PhotoPlace
from tests.training.snapshot_rows import encoded, frozen, noise, parts_of, reviewed

PHOTOS = {
    "apple": ["astronaut", "coffee", "chelsea", "rocket", "retina"],
    "banana": ["camera", "moon", "page", "clock", "text"],
}


def photo(name: str) -> Image.Image:
    image = Image.fromarray(getattr(data, name)()).convert("RGB")
    image.thumbnail((400, 400))
    return image


def copies(image: Image.Image) -> list[bytes]:
    """Re-saved, resized, mirrored, quarter-turned, and all of that at once."""
    turns = Image.Transpose
    small = image.resize((image.width // 2, image.height // 2))
    return [
        encoded(image, quality=60),
        encoded(image, "WEBP", quality=70),
        encoded(image.resize((image.width // 3, image.height // 3)), "PNG"),
        encoded(image.resize((round(image.width * 1.4), round(image.height * 1.4)))),
        *(encoded(image.transpose(turn), quality=85) for turn in (turns.FLIP_LEFT_RIGHT, turns.FLIP_TOP_BOTTOM)),
        *(encoded(image.transpose(turn), quality=85) for turn in (turns.ROTATE_90, turns.ROTATE_180, turns.ROTATE_270)),
        encoded(small.transpose(turns.TRANSPOSE), quality=50),
        *(encoded(shrunk(image, side).transpose(turns.ROTATE_90), quality=80) for side in (60, 48, 32)),
    ]


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """With so many pixels on its shorter side."""
    scale = side / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)))


@pytest.mark.slow
@pytest.mark.usefixtures("looking")
@pytest.mark.xdist_group("documented")  # where the network that looks is built already
def test_copies_of_test_photos_never_land_in_train(fruit_rows: RegisteredModel):
    originals = {
        str(reviewed(encoded(photo(name), "PNG"), label).image.blob_id): (label, photo(name))
        for label, names in PHOTOS.items()
        for name in names
    }
    before = frozen(fruit_rows, features=True, test_share=0.4)
    tested = [originals[sha256] for sha256, part in parts_of(before).items() if part == "test"]
    shown = {str(reviewed(raw, label).image.blob_id) for label, image in tested for raw in copies(image)}

    after = frozen(fruit_rows, features=True, test_share=0.4)

    assert len(tested) == 4
    assert len(shown) == 52
    assert not shown & parts_of(after).keys()
    assert after.left_out == {"copy": 52}
    assert after.content_sha256 == before.content_sha256
    assert set(PhotoPlace.objects.filter(blob_sha256__in=shown).values_list("part", flat=True)) == {"test"}


def test_what_is_too_small_to_tell_from_a_test_photo_stays_out(fruit_rows: RegisteredModel):
    originals = {
        str(reviewed(encoded(photo(name), "PNG"), label).image.blob_id): (label, photo(name))
        for label, names in PHOTOS.items()
        for name in names
    }
    before = frozen(fruit_rows, test_share=0.4)
    tested = [originals[sha256] for sha256, part in parts_of(before).items() if part == "test"]
    turns = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE)
    for label, image in tested:
        for turn in turns:
            reviewed(encoded(shrunk(image, 16).transpose(turn), quality=80), label)

    after = frozen(fruit_rows, test_share=0.4)

    assert parts_of(after) == parts_of(before)
    assert sum(after.left_out.values()) == 3 * len(tested) == 12
    assert after.left_out["bridge"] > 0


def test_thumbnail_that_comes_with_its_photo_is_in_the_same_part(fruit_rows: RegisteredModel):
    names = [name for names in PHOTOS.values() for name in names]
    for name in names:
        reviewed(encoded(photo(name), "PNG"))
        reviewed(encoded(shrunk(photo(name), 16), quality=80))

    snapshot = frozen(fruit_rows, test_share=0.4)

    by_group = snapshot.items.values_list("group", "part")
    assert len(set(by_group)) == len({group for group, _ in by_group}) <= len(names)


def test_one_of_the_copies_trains(fruit_rows: RegisteredModel):
    image = noise(1)
    for raw in (encoded(image, "PNG"), encoded(image), encoded(image.transpose(Image.Transpose.ROTATE_90))):
        reviewed(raw)
    reviewed(encoded(noise(2)))

    snapshot = frozen(fruit_rows)

    assert snapshot.num_photos == 2
    assert snapshot.left_out == {"copy": 2}


def test_copies_with_two_labels_are_left_out(fruit_rows: RegisteredModel):
    reviewed(encoded(noise(1)), "apple")
    reviewed(encoded(noise(1), quality=50), "banana")
    for seed in (2, 3, 4):
        reviewed(encoded(noise(seed)), "kiwi")

    snapshot = frozen(fruit_rows)

    assert snapshot.left_out == {"conflict": 2}
    assert set(snapshot.items.values_list("label", flat=True)) == {"kiwi"}


def test_contradicting_copy_does_not_remove_a_test_photo(fruit_rows: RegisteredModel):
    images = {str(reviewed(encoded(noise(seed))).image.blob_id): noise(seed) for seed in range(10)}
    before = frozen(fruit_rows)
    tested = before.items.filter(part="test").first()

    reviewed(encoded(images[tested.blob_id], quality=50), "banana")

    after = frozen(fruit_rows)
    assert after.test_state == before.test_state
    assert after.left_out == {"conflict": 1}


def test_photo_that_resembles_two_parts_is_left_out(fruit_rows: RegisteredModel):
    first, second = reviewed(encoded(noise(1))), reviewed(encoded(noise(1), quality=40))
    places = {first.image.blob_id: "train", second.image.blob_id: "test"}  # as when a later network finds more alike
    PhotoPlace.objects.bulk_create(
        PhotoPlace(model=fruit_rows, blob_sha256=sha256, part=part, group=number, picture=number)
        for number, (sha256, part) in enumerate(places.items(), 1)
    )
    reviewed(encoded(noise(1), "PNG"))

    snapshot = frozen(fruit_rows)

    assert parts_of(snapshot) == places
    assert snapshot.left_out == {"bridge": 1}
