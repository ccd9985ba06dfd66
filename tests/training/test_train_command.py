"""`manage.py train` as people call it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.core.tiny_training import register_tiny, write_stripes

CHECKOUT = Path(__file__).resolve().parent.parent.parent
OPTIONS = ["--arch", "tiny", "--image-size", "32", "--epochs", "2", "--batch-size", "8", "--device", "cpu", "-v", "0"]

register_tiny()


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("data") / "stripes", per_class=20)


@pytest.fixture(autouse=True)
def _no_report(monkeypatch) -> None:
    # Drawing takes longer than all the rest; tests/core looks at one.
    monkeypatch.setattr("classifier_core.training.finish.write_report", lambda *_values, **_options: None)


def train(data: Path, *options: str) -> str:
    out = StringIO()
    call_command("train", "--data", str(data), *OPTIONS, *options, stdout=out)
    return out.getvalue()


def test_folder_becomes_an_artifact(photos, tmp_path):
    said = train(photos, "--folder", str(tmp_path / "run"))
    assert "Best was epoch" in said
    assert "test  accuracy" in said
    assert f"Look at {tmp_path / 'run' / 'report.html'}" in said
    assert (tmp_path / "run" / "artifact" / "artifact.json").is_file()


def test_same_command_finds_its_run_again(photos, tmp_path, settings):
    settings.MEDIA_ROOT = tmp_path
    first = train(photos)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("stripes-tiny-")
    assert train(photos) == first
    train(photos, "--lr", "0.01")
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_finished_run_needs_no_teacher_any_more(photos, tmp_path):
    big, run = tmp_path / "big", tmp_path / "run"
    train(photos, "--folder", str(big))
    taught = ("--folder", str(run), "--teacher", str(big / "artifact"))
    first = train(photos, *taught)

    shutil.rmtree(big)

    assert train(photos, *taught) == first


def test_zip_with_names_and_ready_split(photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "waste.zip", "w") as archive:
        for path in photos.glob("*/*.png"):
            part = "val" if path.stem > "015" else "train"
            archive.write(path, f"{part}/{path.parent.name}/{path.name}")
    (tmp_path / "names.tsv").write_text("key\ten\tzh\nacross\tAcross\t横\n")
    train(tmp_path / "waste.zip", "--folder", str(tmp_path / "run"), "--names", str(tmp_path / "names.tsv"))
    artifact = json.loads((tmp_path / "run" / "artifact" / "artifact.json").read_text())
    assert artifact["labels"][0] == {"key": "across", "names": {"en": "Across", "zh": "横"}}
    assert artifact["provenance"]["data"]["name"] == "waste"
    assert artifact["provenance"]["evaluations"][0]["num_images"] == 12


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--arch", "mobilnet_v2"], "There is no architecture named 'mobilnet_v2'. Did you mean mobilenet_v2"),
        (["--lr", "0"], "learning rate must be a positive number"),
        (["--freeze"], "a frozen backbone needs pretrained weights"),
        (["--pretrained", "nowhere.safetensors"], "There are no weights at nowhere.safetensors"),
        (["--teacher", "nowhere"], "is not a complete artifact"),
        (["--split", "nowhere"], "nowhere"),
        (["--names", "nowhere.tsv"], "nowhere.tsv"),
        (["--val-share", "0", "--test-share", "0"], "no readable validation photo"),
    ],
)
def test_wrong_options_end_in_a_sentence(photos, tmp_path, options, words):
    with pytest.raises(CommandError, match=words):
        train(photos, "--folder", str(tmp_path / "run"), *options)


@pytest.mark.parametrize(
    "slip", [["--arch", "mobilnet_v2"], ["--pretrained", "nowhere.safetensors"], ["--teacher", "nowhere"]]
)
def test_slip_leaves_no_run_behind(photos, tmp_path, slip):
    with pytest.raises(CommandError, match=r"no architecture|no weights|not a complete artifact"):
        train(photos, "--folder", str(tmp_path / "run"), *slip)
    assert not (tmp_path / "run").exists()


def test_folder_of_a_run_is_a_teacher(photos, tmp_path):
    artifact = tmp_path / "big" / "artifact"
    artifact.mkdir(parents=True)
    (artifact / "artifact.json").write_text("{}")
    with pytest.raises(CommandError, match=f"{artifact}"):
        train(photos, "--folder", str(tmp_path / "run"), "--teacher", str(tmp_path / "big"))


def test_nothing_named_is_not_the_artifact_in_the_folder_of_the_shell(photos, tmp_path, monkeypatch):
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "artifact.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    train(photos, "--folder", str(tmp_path / "run"))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["pretrained"], config["teacher"]) == ("", "")


def test_data_that_are_not_there(tmp_path):
    with pytest.raises(CommandError, match="is not there"):
        train(tmp_path / "nowhere", "--folder", str(tmp_path / "run"))


def test_folder_that_cannot_be_written(photos, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CommandError, match="cannot be read or written"):
        train(photos, "--folder", str(tmp_path / "file" / "run"))


def test_no_space_is_a_sentence(photos, tmp_path, monkeypatch):
    from classifier_core import durable

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "replace", full)
    with pytest.raises(CommandError, match="No space left on device"):
        train(photos, "--folder", str(tmp_path / "run"))


def test_pictures_that_vanish_in_the_network_are_said_in_words(photos, tmp_path):
    with pytest.raises(CommandError, match="does not take pictures of 32 pixels"):
        train(photos, "--arch", "alexnet", "--folder", str(tmp_path / "run"))


TORCHRUN = """
import json, os, sys
from pathlib import Path
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recognizer.settings")
from django.core.management import execute_from_command_line
from classifier_core.training import loop
from tests.core.tiny_training import register_tiny

register_tiny()
train_epoch = loop.train_epoch


def watched(learner, learning, *rest):
    figures = train_epoch(learner, learning, *rest)
    sums = [float(weights.detach().abs().sum()) for weights in learning.learner.parameters()]
    Path(os.environ["WATCHED"], os.environ["RANK"]).write_text(json.dumps(sums))
    return figures


loop.train_epoch = watched
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


@pytest.mark.slow
def test_two_processes_train_one_network(photos, tmp_path):
    script, watched = tmp_path / "manage_tiny.py", {"WATCHED": str(tmp_path)}
    script.write_text(TORCHRUN)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [*launch, "train", "--data", str(photos), *OPTIONS, "--folder", str(tmp_path / "both"), "--ema", "0.9"],
        cwd=CHECKOUT,
        env=os.environ
        | {"PYTHONPATH": str(CHECKOUT), "RECOGNIZER_DATA_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
        | watched,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Best was epoch") == 1  # the first process speaks for both
    train(photos, "--folder", str(tmp_path / "alone"), "--ema", "0.9")
    log = [json.loads(line) for line in (tmp_path / "both" / "log.jsonl").read_text().splitlines()]
    alone = [json.loads(line) for line in (tmp_path / "alone" / "log.jsonl").read_text().splitlines()]
    assert json.loads((tmp_path / "both" / "environment.json").read_text())["num_processes"] == 2
    assert log[0]["train"]["num_images"] == alone[0]["train"]["num_images"]
    # Each saw other photos; only shared gradients give both the same weights.
    assert json.loads((tmp_path / "0").read_text()) == json.loads((tmp_path / "1").read_text())
    # Other dropout, crops and batch-norm statistics, but the same photos in each step.
    assert abs(log[1]["val"]["loss"] - alone[1]["val"]["loss"]) < 0.3


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("key\ten\tzh\ndown\tDown\t竖\n".encode("gb18030"), "is not UTF-8"),
        (b"key\ten\tzh\ndown\tDown\n", "an empty cell"),
    ],
)
def test_names_that_cannot_be_read_are_said_in_words(photos, tmp_path, raw, words):
    (tmp_path / "names.tsv").write_bytes(raw)
    with pytest.raises(CommandError, match=words):
        train(photos, "--folder", str(tmp_path / "run"), "--names", str(tmp_path / "names.tsv"))
    assert not (tmp_path / "run").exists()
