"""Names of networks are known without torch, and are those of the libraries that are installed."""

import json
import subprocess
import sys

import pytest

from classifier_core.architecture_names import NAMES, why_unknown
from classifier_core.architectures import build_model
from classifier_core.errors import UnknownArchitecture

INSTALLED = (
    "import json; from classifier_core.architectures.listing import installed_names as n; print(json.dumps(n()))"
)

TAGGED = ["resnet18.a1_in1k", "timm/resnet18.a1_in1k"]
ELSEWHERE = ["timm/mobilenet_v2", "torchvision/ghostnet_100", "ours/cbam_resnet18", "timm/senet"]
NO_TAGS = ["mobilenet_v2.anything", "torchvision/resnet18.a1_in1k", "resnet18.anything"]


def test_list_is_what_the_libraries_have():
    # In a process of its own: tests register small networks with timm.
    done = subprocess.run([sys.executable, "-c", INSTALLED], check=True, stdout=subprocess.PIPE)

    assert json.loads(NAMES.read_text()) == json.loads(done.stdout)


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "MobileNetV2", "senet", "timm/resnet18", "torchvision/resnet18", *TAGGED]
)
def test_name_of_a_network_or_family_is_known(name: str):
    assert why_unknown(name) == ""


def test_misspelled_name_is_told_what_is_alike():
    assert why_unknown("mobilnet_v2").startswith("There is no architecture named 'mobilnet_v2'. Did you mean")
    assert "mobilenet_v2" in why_unknown("mobilnet_v2")
    assert why_unknown("keras/resnet18")


@pytest.mark.parametrize("name", [*ELSEWHERE, *NO_TAGS])
def test_name_that_no_worker_can_build_is_refused(name: str):
    assert why_unknown(name).startswith(f"There is no architecture named {name!r}.")
    with pytest.raises((UnknownArchitecture, RuntimeError)):
        build_model(name, num_classes=2)
