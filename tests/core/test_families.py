"""Each family of networks by its name: built, trained for a step, given another head, exported."""

import math
from functools import partialmethod

import pytest
import torch
from timm.models.vgg import VGG
from torch import nn

from classifier_core.activation import activation_maps
from classifier_core.architectures import (
    FAMILIES,
    ObservedNetwork,
    build_model,
    find_head,
    measure_cost,
    merge_branches,
    numpy_state,
    reset_head,
)
from classifier_core.artifact import LabelEntry, save_artifact
from classifier_core.errors import ClassifierError
from classifier_core.export import BATCH_SIZES, export_onnx
from classifier_core.onnx_pooling import averaging_matrix
from classifier_core.preprocessing import Preprocessing

# The lightest network of the family where the recommended one is heavier than a test needs; and small pictures.
LIGHTER = {"resnext": "resnext26ts", "inception": "inception_v3"}
SIZES = {"inception": 96, "digits": 28}
SIZE = 64

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _narrow_vgg(monkeypatch):
    # One layer holds 103 of VGG's 133 million parameters: 400 MB that only make the test slow.
    monkeypatch.setattr(VGG, "__init__", partialmethod(VGG.__init__, mlp_ratio=1 / 16))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_family_trains_takes_another_head_and_exports(family, tmp_path):
    torch.manual_seed(0)
    channels, size = family.in_channels, SIZES.get(family.name, SIZE)
    architecture = LIGHTER.get(family.name, family.recommended)
    model = build_model(architecture, num_classes=4, in_channels=channels)

    train_one_step(model, torch.rand(4, channels, size, size))
    head = replace_head(model, num_classes=7)

    assert observed_head(model, num_classes=7, in_channels=channels, size=size) == head
    preprocessing = Preprocessing(
        resize_size=size, crop_size=size, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels
    )
    artifact = save_artifact(
        tmp_path / "model",
        state=numpy_state(model),
        architecture=architecture,
        head=head,
        labels=[LabelEntry(f"class_{number}") for number in range(7)],
        preprocessing=preprocessing,
        provenance={},
        half=True,
    )
    parity = export_onnx(artifact, num_threads=1)
    assert parity.keys() == set(BATCH_SIZES)
    assert all(figures.top1_agreement == 1 for figures in parity.values())


def train_one_step(model: nn.Module, images: torch.Tensor) -> None:
    weights = list(model.parameters())
    first, head = weights[0].clone(), model.get_submodule(find_head(model)).weight.clone()
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.01)

    loss = nn.functional.cross_entropy(model(images), torch.arange(len(images)))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()

    assert math.isfinite(loss.item())
    assert not torch.equal(weights[0], first)
    assert not torch.equal(model.get_submodule(find_head(model)).weight, head)


def replace_head(model: nn.Module, *, num_classes: int) -> str:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    head = reset_head(model, num_classes)

    after = model.state_dict()
    assert after.keys() == before.keys()
    changed = {name for name in before if not torch.equal(after[name], before[name])}
    assert changed == {f"{head}.weight", f"{head}.bias"}
    assert len(after[f"{head}.weight"]) == num_classes
    return head


def observed_head(model: nn.Module, *, num_classes: int, in_channels: int, size: int) -> str:
    network = ObservedNetwork(model, num_classes=num_classes, in_channels=in_channels, size=size)
    with torch.inference_mode():
        logits, features, feature_map = network(torch.rand(2, in_channels, size, size))
    assert logits.shape == (2, num_classes)
    assert features.shape == (2, model.get_submodule(network.head).weight.shape[1])
    assert feature_map.shape[2] * feature_map.shape[3] > 1
    maps = activation_maps(network, torch.rand(2, in_channels, size, size), torch.tensor([0, 1]))
    assert maps.shape == (2, *feature_map.shape[2:])
    return network.head


def test_merged_branches_answer_the_same():
    torch.manual_seed(0)
    images = torch.rand(4, 3, SIZE, SIZE)
    model = build_model("ghostnetv3_050", num_classes=4)
    with torch.no_grad():
        model.train()(images)  # moves the batch-norm statistics from 0 and 1
    before = len(list(model.parameters()))

    with torch.inference_mode():
        expected = model.eval()(images)
        merged = merge_branches(model)(images)

    assert torch.allclose(merged, expected, atol=1e-4 * float(expected.abs().max()))
    assert len(list(model.parameters())) < before / 2


def test_network_without_layers_has_no_head():
    with pytest.raises(ClassifierError, match="no layer"):
        reset_head(nn.Sequential(nn.ReLU()), 3)


def test_new_head_starts_with_equal_scores():
    torch.manual_seed(0)
    model = build_model("mobilenet_v2", num_classes=1000)
    assert reset_head(model, 10) == "classifier.1"

    scores = model.eval()(torch.rand(2, 3, SIZE, SIZE)).softmax(1)

    assert torch.allclose(scores, torch.tensor(0.1), atol=0.05)


def test_digits_network_is_small_and_keeps_a_map():
    model = build_model("digits", num_classes=10, in_channels=1)
    network = ObservedNetwork(model, num_classes=10, in_channels=1, size=28)

    _, features, feature_map = network(torch.rand(3, 1, 28, 28))

    assert features.shape == (3, 256)
    assert feature_map.shape == (3, 256, 7, 7)
    assert measure_cost(model, in_channels=1, size=28).num_parameters < 400_000


@pytest.mark.parametrize(
    ("name", "num_parameters", "num_multiplications"),
    # Table 5 of the ShuffleNet paper gives 140 and 38 million multiply-adds, its authors' code these parameters.
    [("shufflenet_v1_x1_0", 1_865_728, 137e6), ("shufflenet_v1_x0_5", 717_000, 38e6)],
)
def test_shufflenet_has_the_size_of_the_paper(name, num_parameters, num_multiplications):
    with torch.device("meta"):
        cost = measure_cost(build_model(name, num_classes=1000), in_channels=3, size=224)

    assert cost.num_parameters == pytest.approx(num_parameters, rel=0.01)
    assert cost.flops == pytest.approx(2 * num_multiplications, rel=0.03)


def test_frozen_weights_are_not_counted_as_trainable():
    model = build_model("squeezenet", num_classes=3).requires_grad_(requires_grad=False)
    reset_head(model, 5)

    cost = measure_cost(model, in_channels=3, size=SIZE)

    assert cost.num_trainable == 5 * 512 + 5
    assert cost.num_parameters > 700_000
    assert model.training


def test_attention_follows_every_residual_block():
    model = build_model("cbam_resnet50", num_classes=3)

    assert sum(type(layer).__name__ == "CbamModule" for layer in model.modules()) == 16


@pytest.mark.parametrize(("length", "parts"), [(1, 6), (3, 7), (5, 6), (13, 6), (14, 7)])
def test_exported_pooling_is_torchs(length, parts):
    places = torch.rand(length)

    expected = nn.functional.adaptive_avg_pool1d(places[None, None], parts)[0, 0]

    assert torch.allclose(averaging_matrix(length, parts) @ places, expected)
