"""What a training run is made of, piece by piece, on numbers that can be checked by hand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from classifier_core.datasets.folder import load_dataset
from classifier_core.errors import TrainingFailed
from classifier_core.preprocessing import Preprocessing
from classifier_core.training.augmentation import Recipe, crop_batch, erase, mixup_share, recipe_of, recolour
from classifier_core.training.config import TrainConfig
from classifier_core.training.learner import NO_LABEL, Learner, Objective
from classifier_core.training.optimisation import build_average, build_optimizer, rate_at, set_rate
from classifier_core.training.pictures import Pictures, read_pictures, working_copies
from classifier_core.training.processes import Place
from classifier_core.training.randomness import generator_for
from classifier_core.training.sampling import class_weights, epoch_batches
from classifier_core.training.teacher import score_loss
from classifier_core.training.weights import load_start
from tests.core.tiny_training import write_stripes


def test_config_survives_json():
    config = TrainConfig("resnet18", mixup=0.2, lr=0.1)
    assert TrainConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"freeze": True}, "a frozen backbone needs pretrained weights"),
        ({"optimizer": "lion"}, "optimizer must be one of sgd, adam, adamw"),
        ({"lr": -1.0}, "learning rate must be a positive"),
        ({"epochs": 0}, "at least one epoch"),
        ({"channels": 2}, "channels must be 1 or 3"),
        ({"more_photos": "photos"}, "need a teacher"),
        ({"teacher_size": 64}, "needs a teacher"),
        ({"serving_size": 64, "augmentation": "none"}, "needs random crops"),
        ({"serving_size": 4}, "serving size must be 8"),
        ({"label_smoothing": 1.0}, "label smoothing"),
    ],
)
def test_senseless_options_are_named(options, words):
    with pytest.raises(TrainingFailed, match=words):
        TrainConfig("resnet18", **options)


def test_unknown_option_of_another_version():
    with pytest.raises(TrainingFailed, match="another version"):
        TrainConfig.from_dict(TrainConfig("resnet18").to_dict() | {"colour": 1})


def test_rate_rises_then_falls_by_a_cosine():
    config = TrainConfig("resnet18", epochs=12, warmup=2, lrf=0.1)
    assert rate_at(0, config) == pytest.approx(0.01)
    assert rate_at(1, config) == pytest.approx(0.505)
    assert rate_at(2, config) == pytest.approx(1.0)
    assert rate_at(7, config) == pytest.approx(0.55)  # half way between 1 and 0.1
    assert rate_at(12, config) == pytest.approx(0.1)


def test_head_learns_faster_and_biases_are_not_decayed():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    config = TrainConfig("x", optimizer="sgd", lr=0.1, head_lr_factor=10, weight_decay=0.5)
    optimizer = build_optimizer(network, config, head="1")
    set_rate(optimizer, 0.5)
    rates = {
        id(one): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for one in group["params"]
    }
    assert [rates[id(one)] for one in network.parameters()] == [(0.05, 0.5), (0.05, 0.0), (0.5, 0.5), (0.5, 0.0)]


def test_average_follows_slowly():
    network = nn.Linear(1, 1, bias=False)
    average = build_average(network, 0.5)
    for weight in (1.0, 2.0, 3.0):
        nn.init.constant_(network.weight, weight)
        average.update_parameters(network)
    # The first is copied; then decays of 2/11 and 3/12, which are below 0.5.
    second = 1 * 2 / 11 + 2 * 9 / 11
    assert average.module.weight.item() == pytest.approx(second * 0.25 + 3 * 0.75)


def batches_of(targets, **options):
    values = {"batch_size": 4, "epoch": 1, "seed": 0, "is_balanced": False, "place": Place(0, 1)}
    return epoch_batches(np.array(targets), **values | options)


def test_epochs_differ_and_repeat():
    targets = [0] * 10
    assert batches_of(targets) == batches_of(targets)
    assert batches_of(targets) != batches_of(targets, epoch=2)
    assert batches_of(targets) != batches_of(targets, seed=1)
    assert [len(batch) for batch in batches_of(targets)] == [4, 4]


def test_two_processes_share_each_epoch():
    alone = batches_of([0] * 8)
    both = [batches_of([0] * 8, place=Place(rank, 2)) for rank in (0, 1)]
    assert [sorted(one + other) for one, other in zip(*both, strict=True)] == [sorted(batch) for batch in alone]


def test_few_photos_are_one_step():
    assert [len(batch) for batch in batches_of([0, 1, 1], batch_size=32)] == [3]


def test_balanced_sampling_evens_classes_out():
    targets = np.array([0] * 990 + [1] * 10)
    drawn = [number for batch in batches_of(targets, is_balanced=True) for number in batch]
    assert targets[drawn].mean() == pytest.approx(0.5, abs=0.06)


def test_class_weights_are_scikit_learns():
    weights = class_weights(np.array([0, 0, 0, 1, NO_LABEL]), num_classes=2)
    assert weights.tolist() == pytest.approx([4 / 6, 4 / 2])


def test_crops_repeat_with_their_generator():
    picture = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8)
    recipe = Recipe(min_area=0.3, flip=True)
    first, second = (crop_batch([picture] * 4, recipe, size=24, generator=generator_for(7)) for _ in range(2))
    assert first.shape == (4, 3, 24, 24)
    assert torch.equal(first, second)
    assert not torch.equal(first, crop_batch([picture] * 4, recipe, size=24, generator=generator_for(8)))


def test_without_augmentation_pictures_stay():
    pictures = list(torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8))
    same = crop_batch(pictures, Recipe(), size=24, generator=generator_for(0))
    assert torch.equal(same, torch.stack(pictures))


def test_flips_mirror_about_half():
    pictures = list(torch.arange(24, dtype=torch.uint8).expand(64, 3, 24, 24))
    flipped = crop_batch(pictures, Recipe(flip=True), size=24, generator=generator_for(0))
    assert 16 < (flipped[:, 0, 0, 0] == 23).sum() < 48


def test_recolouring_changes_colours_but_not_grey_into_colour():
    recipe = Recipe(jitter=0.4, hue=0.2)
    images = torch.full((8, 3, 4, 4), 128.0)
    grey = recolour(images.clone(), recipe, generator_for(0))
    assert torch.allclose(grey, grey.mean(1, keepdim=True).expand_as(grey), atol=0.1)
    assert grey.flatten(1).mean(1).std() > 5
    red = recolour(images * torch.tensor([1.9, 0.2, 0.2]).view(1, 3, 1, 1), recipe, generator_for(0))
    assert 0 <= red.min() < red.max() <= 255


def test_erased_boxes_become_the_mean_colour():
    images = erase(torch.ones(50, 3, 16, 16), Recipe(erase=0.5), generator_for(0))
    erased = (images == 0).flatten(1).any(1).sum().item()
    assert 15 < erased < 35
    assert 0.02 < (images == 0).float().mean() < 0.2


def test_presets_leave_out_what_would_change_the_class():
    assert not recipe_of(TrainConfig("x", augmentation="none")).crops
    strong = recipe_of(TrainConfig("x", augmentation="strong", flip=False, recolour=False))
    assert (strong.flip, strong.jitter, strong.hue) == (False, 0, 0)
    assert recipe_of(TrainConfig("x", augmentation="strong", channels=1)).hue == 0


def test_letterboxed_pictures_lose_little_of_their_edges():
    picture = torch.arange(100, dtype=torch.uint8).view(1, 1, 100).repeat(1, 100, 1)
    recipe = recipe_of(TrainConfig("x", fit="letterbox", flip=False))

    columns = crop_batch([picture] * 50, recipe, size=100, generator=generator_for(0))[:, 0, 50].float()

    widths = columns[:, -1] - columns[:, 0] + 1
    assert widths.min() >= 85  # of 100
    assert widths.min() < 92


def test_mixup_keeps_the_larger_share():
    shares = [mixup_share(0.4, generator_for(number)) for number in range(200)]
    assert 0.5 <= min(shares) < 0.6 < max(shares) <= 1
    assert mixup_share(0.0, generator_for(0)) == 1.0


def test_loss_passes_over_photos_without_label():
    learner = Learner(nn.Linear(3, 2), head="")
    inputs, targets = torch.randn(3, 3), torch.tensor([1, NO_LABEL, 0])
    objective = Objective(TrainConfig("x"))
    loss, logits = objective(learner, inputs, targets, generator_for(0))
    assert loss.item() == pytest.approx(nn.functional.cross_entropy(logits[[0, 2]], targets[[0, 2]]).item())


def test_teacher_that_agrees_costs_nothing():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert score_loss(logits, logits + 5, temperature=2.0).item() == pytest.approx(0, abs=1e-6)
    assert score_loss(logits, -logits, temperature=2.0).item() > 1


def test_photos_beyond_the_memory_are_decoded_again(tmp_path):
    dataset = load_dataset(write_stripes(tmp_path / "photos", per_class=2))
    preprocessing = Preprocessing(resize_size=32, crop_size=32)
    one = 32 * 32 * 3
    _, pictures, unreadable = read_pictures(dataset, preprocessing.load, max_bytes=3 * one)
    assert (pictures.num_bytes, unreadable) == (3 * one, [])
    for number, photo in enumerate(dataset.photos):
        expected = preprocessing.load(photo.path.read_bytes())
        assert np.array_equal(pictures[number].permute(1, 2, 0).numpy(), expected)


def test_unreadable_photos_are_left_out_with_a_reason(tmp_path):
    root = write_stripes(tmp_path / "photos", per_class=2)
    (root / "down" / "000.png").write_bytes(b"no photo")
    (root / "down" / "001.png").rename(root / "down" / "002.png")
    dataset, pictures, unreadable = read_pictures(
        load_dataset(root), Preprocessing(resize_size=32, crop_size=32).load, max_bytes=10**9
    )
    assert [(one.path.name, one.reason[:20]) for one in unreadable] == [("000.png", "This is not an image")]
    assert len(dataset.photos) == len(pictures) == 5


@pytest.mark.parametrize(("size", "expected"), [((400, 200), (80, 160)), ((100, 900), (160, 80)), ((30, 40), (40, 30))])
def test_working_copies_have_room_for_crops(size, expected, tmp_path):
    Image.new("RGB", size).save(tmp_path / "a.png")
    prepare = working_copies(Preprocessing(resize_size=64, crop_size=64))
    assert prepare((tmp_path / "a.png").read_bytes()).shape == (*expected, 3)


def test_letterboxed_copies_show_the_whole_photo(tmp_path):
    Image.new("RGB", (200, 100), "red").save(tmp_path / "a.png")
    prepare = working_copies(Preprocessing(method="letterbox", crop_size=64))
    pixels = prepare((tmp_path / "a.png").read_bytes())
    assert pixels.shape == (80, 80, 3)
    assert (pixels[0, 0].tolist(), pixels[40, 0].tolist()) == ([114] * 3, [255, 0, 0])


def test_pictures_can_be_counted():
    assert len(Pictures([Path("a"), Path("b")], lambda _raw: np.zeros((1, 1, 3), np.uint8), max_bytes=0)) == 2


def test_weights_of_another_architecture_are_refused(make_artifact):
    artifact = make_artifact("mobilenetv3_small_050")
    with pytest.raises(TrainingFailed, match=r"belong to another architecture: \d+ of \d+ tensors"):
        load_start(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)), str(artifact.folder))


def test_start_takes_all_but_the_head_of_other_classes(make_artifact):
    from classifier_core.architectures import build_model

    artifact = make_artifact("mobilenetv3_small_050")
    network = build_model("mobilenetv3_small_050", num_classes=3, in_channels=1)
    start = load_start(network, str(artifact.folder))
    state = artifact.load_state()
    assert (start.source, start.missing) == ("model", ())
    assert np.allclose(network.conv_stem.weight.detach().numpy(), state["conv_stem.weight"].sum(1, keepdims=True))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.safetensors", "There are no weights at"),
        ("tests", "is a folder without artifact.json"),
        ("pyproject.toml", "cannot be read as a safetensors file"),
        ("timm/mobilenetv2_100.ra_in1k", "cannot be had from the Hugging Face hub"),
    ],
)
def test_weights_that_cannot_be_had_are_said_so(source, words, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TrainingFailed, match=words):
        load_start(nn.Linear(2, 2), source)


def test_hub_that_cannot_be_reached_is_tried_once(monkeypatch, caplog):
    tries = []

    def refuse(*_values: object, **_options: object) -> None:
        tries.append(1)
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.get_session", lambda: SimpleNamespace(head=refuse))
    with pytest.raises(TrainingFailed, match="cannot be reached from here") as told:
        load_start(nn.Identity(), "nobody/nothing-of-this-name")
    assert "Error" not in str(told.value)
    assert len(tries) == 1
    assert not caplog.records
