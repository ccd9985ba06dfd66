import dataclasses

import pytest
import timm
import torch
from torch import nn

from classifier_core.architectures import (
    ObservedNetwork,
    build_model,
    list_architectures,
    resolve_architecture,
    restore_model,
)
from classifier_core.errors import ArtifactInvalid, ClassifierError, UnknownArchitecture

# One or two of each family, of both libraries, small enough for a unit test.
SAMPLES = [
    "mobilenet_v2", "mobilenetv3_small_100", "mobilenetv4_conv_small", "torchvision/mobilenet_v3_small", "ghostnet_100",
    "ghostnetv2_100", "tf_efficientnet_lite0", "torchvision/efficientnet_b0", "shufflenet_v2_x0_5", "squeezenet1_1",
    "mnasnet_small", "mnasnet0_5", "resnet18", "torchvision/resnet18", "alexnet", "googlenet",
]  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_network_takes_classes_and_channels(name):
    model = build_model(name, num_classes=5, in_channels=1)
    network = ObservedNetwork(model, num_classes=5, in_channels=1, size=64)
    images = torch.rand(2, 1, 64, 64)

    with torch.no_grad():
        plain = network.network(images)
        logits, features, feature_map = network(images)

    assert torch.equal(logits, plain)
    assert logits.shape == (2, 5)
    assert features.ndim == 2
    assert feature_map.ndim == 4
    assert feature_map.shape[2] * feature_map.shape[3] > 1
    head = network.network.get_submodule(network.head)
    if isinstance(head, nn.Linear):
        assert torch.allclose(nn.functional.linear(features, head.weight, head.bias), logits, atol=1e-5)


def test_pooled_map_equals_the_features():
    network = ObservedNetwork(build_model("resnet18", num_classes=5), num_classes=5, in_channels=3, size=96)

    with torch.inference_mode():
        _, features, feature_map = network(torch.rand(2, 3, 96, 96))

    assert torch.allclose(feature_map.mean((2, 3)), features, atol=1e-5)


def test_plain_name_means_timm_first():
    assert type(build_model("resnet18", num_classes=2)).__module__.startswith("timm")
    assert type(build_model("torchvision/resnet18", num_classes=2)).__module__.startswith("torchvision")
    assert not timm.is_model("mobilenet_v2")
    assert type(build_model("mobilenet_v2", num_classes=2)).__module__.startswith("torchvision")


@pytest.mark.parametrize("name", ["", "resnet19x", "timm/mobilenet_v2", "torchvision/ghostnet_100", "hub/resnet18"])
def test_unknown_name_is_refused(name):
    with pytest.raises(UnknownArchitecture, match="no architecture"):
        build_model(name, num_classes=2)


@pytest.mark.parametrize(("name", "words"), [("ResNet81", "Did you mean resnet"), ("qqqq", "families names one, too")])
def test_unknown_name_is_answered_with_what_can_be_typed(name, words):
    with pytest.raises(UnknownArchitecture, match=words):
        build_model(name, num_classes=2)


def test_every_listed_name_means_itself():
    names = list_architectures()

    assert len(names) > 1000
    assert [name for name in names if resolve_architecture(name) != name] == []


@pytest.mark.parametrize("spelling", ["senet", "SENet", "se-net"])
def test_family_stands_for_its_recommended_network(spelling):
    assert resolve_architecture(spelling) == "seresnet18"
    assert {"seresnet18", "seresnet50", "legacy_senet154"} <= set(list_architectures(spelling))


def test_unknown_family_is_told_the_known_ones():
    with pytest.raises(UnknownArchitecture, match="alexnet, vgg, resnet"):
        list_architectures("resnot")


def test_typing_error_gets_a_suggestion():
    with pytest.raises(UnknownArchitecture, match="Did you mean mobilenet_v2"):
        build_model("mobilnet_v2", num_classes=2)


def test_nothing_is_downloaded(monkeypatch):
    def no_network(*_args: object, **_options: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("socket.socket.connect", no_network)

    for name in ("mobilenet_v2", "ghostnet_100", "tf_efficientnet_lite0"):
        build_model(name, num_classes=2)


def test_network_without_a_map_is_refused():
    with pytest.raises(ClassifierError, match="feature map"):
        ObservedNetwork(nn.Sequential(nn.Flatten(), nn.Linear(27, 4)), num_classes=4, in_channels=3, size=3)
    with pytest.raises(ClassifierError, match="gives 5 scores"):
        ObservedNetwork(build_model("resnet18", num_classes=4), num_classes=5, in_channels=3, size=96)


def test_weights_of_another_architecture_are_refused(make_artifact):
    artifact = make_artifact("resnet18")
    missing = make_artifact("resnet18", state={"fc.weight": artifact.load_state()["fc.weight"]})

    with pytest.raises(ArtifactInvalid, match="layer1"):
        restore_model(missing)
    with pytest.raises(ArtifactInvalid, match="resnet34"):
        restore_model(dataclasses.replace(artifact, architecture="resnet34"))


def test_saved_network_answers_as_loaded(make_artifact):
    artifact = make_artifact("mobilenetv3_small_050")
    torch.manual_seed(0)
    original = build_model("mobilenetv3_small_050", num_classes=7).eval()
    images = torch.rand(2, 3, 96, 96)

    with torch.inference_mode():
        assert torch.equal(restore_model(artifact)(images), original(images))
