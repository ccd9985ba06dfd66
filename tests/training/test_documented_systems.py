"""docs/training.md shows how models are made. Each command of a section runs here, on small made photos."""

import re
import shlex
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from safetensors.torch import save_file

from classifier_core.architectures import build_model
from tests.photo_folders import write_folder

CHECKOUT = Path(__file__).resolve().parents[2]
MANUAL = (CHECKOUT / "docs" / "training.md").read_text()
SECTIONS = {
    "fruit": "Fruit, with MobileNetV2",
    "garbage": "Household garbage, with GhostNet",
    "cars": "Car colours, with MobileNetV2 and V3",
    "resnet": "Garbage, with ResNet",
    "zoo": "Many networks in one table",
    "digits": "Handwritten digits",
    "files": "Smaller files",
}
NUM_ARCHS = 2  # of a command that lists many
# What makes the real commands long; the rest of each is run as it is written.
SHORTER = {
    "--epochs": "1",
    "--batch-size": "8",
    "--image-size": "32",
    "--serving-size": "40",
    "--teacher-size": "32",
    "--known-photos": "5",
}
PHOTOS = {
    "fruit": {"apple": 12, "banana": 8, "kiwi": 10},
    "garbage": {"cardboard": 9, "glass": 8, "paper": 12},
    "cars": {"black": 9, "red": 9, "white": 8},
    "strangers": {"other": 8},
    "others": {"other": 8},
}
# One process for all: the network that looks for what is alike is exported once.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("documented"), pytest.mark.slow]


@pytest.fixture(autouse=True)
def _no_report(monkeypatch) -> None:
    # Drawing takes longer than all the rest; tests/core looks at one.
    monkeypatch.setattr("classifier_core.training.finish.write_report", lambda *_values, **_options: None)


@pytest.fixture
def place(looking, tmp_path, monkeypatch) -> Path:
    """A folder with the photos and weights that the manual names, and the checkout's starters."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starters").symlink_to(CHECKOUT / "starters")
    for name, classes in PHOTOS.items():
        write_folder(tmp_path / "photos" / name, classes)
    write_folder(tmp_path / "photos" / "digits", {"0": 9, "1": 9, "2": 9}, size=(28, 28))
    for name in ("fruit", "garbage"):
        folders = [f"photos/{name}", f"splits/{name}", "--val", "0.2", "--test", "0.2", "--no-features"]
        call_command("dataset", "split", *folders, stdout=StringIO())
    backbone = build_model("mobilenet_v2", num_classes=2).features.state_dict()
    (tmp_path / "weights").mkdir()
    save_file(
        {f"features.{name}": tensor for name, tensor in backbone.items()},
        tmp_path / "weights" / "mobilenet_v2.safetensors",
    )
    return tmp_path


def commands_of(section: str) -> list[list[str]]:
    """The words of each `manage.py` command in the code blocks of this section."""
    text = MANUAL.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.partition("manage.py ")[2], comments=True) for line in lines if "manage.py " in line]


def shortened(words: list[str]) -> list[str]:
    short = [SHORTER.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    if "--archs" in words:
        start = words.index("--archs") + 1
        end = next(number for number, word in enumerate([*words[start:], "--"], start) if word.startswith("--"))
        short[start : max(start, end - NUM_ARCHS)] = []
    return [*short, "--force"] if "int8" in words else short  # what keeps accuracy on photos may not on noise


@pytest.mark.django_db
@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_section_works_as_it_is_written(section, place):
    commands = commands_of(section)
    assert commands, f"docs/training.md has no commands under {section!r}"

    for words in commands:
        out = StringIO()
        quiet = [] if words[0] in {"dataset", "models"} else ["-v", "0"]
        call_command(*shortened(words), *quiet, stdout=out, stderr=out)
        assert out.getvalue().strip(), words
        if words[0] == "train":
            assert (Path(words[words.index("--folder") + 1]) / "artifact" / "artifact.json").is_file()
