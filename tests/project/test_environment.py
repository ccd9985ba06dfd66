"""Settings from the environment: a bad value stops the start with a sentence that names the variable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from recognizer import environment
from recognizer.secret_key import load_secret_key
from tests.service import PROJECT_DIR

INTEGERS = [
    "RECOGNIZER_WEB_THREADS",
    "RECOGNIZER_WAIT_SECONDS",
    "RECOGNIZER_MAX_PENDING",
    "RECOGNIZER_BATCH_SIZE",
    "RECOGNIZER_NUM_THREADS",
    "RECOGNIZER_GATE_CLASS_PHOTOS",
    "RECOGNIZER_MAX_UPLOAD_BYTES",
]
NUMBERS = ["RECOGNIZER_GATE_MARGIN", "RECOGNIZER_GATE_CLASS_MARGIN", "RECOGNIZER_GATE_LATENCY"]
FLAGS = ["RECOGNIZER_PRODUCTION", "RECOGNIZER_SIGN_UP", "RECOGNIZER_TRAIN_DEFAULT", "RECOGNIZER_TIME_ENGINES"]
CHOICES = ["RECOGNIZER_ENGINE", "RECOGNIZER_DEVICE", "RECOGNIZER_PRECISION", "RECOGNIZER_RATE_LIMIT"]


@pytest.mark.parametrize("value", ["x", "1.5", "²", "--5", "-1", "5 5", "0x10", "9" * 30, "-"])
def test_integer_refuses_what_is_none(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("SIZE", value)

    with pytest.raises(ImproperlyConfigured, match="SIZE must be a whole number from 0 to 9"):
        environment.integer("SIZE", 3, minimum=0, maximum=9)


@pytest.mark.parametrize(("value", "number"), [("", 3), (" 7 ", 7), ("0", 0), ("9", 9)])
def test_integer_reads_numbers(monkeypatch: pytest.MonkeyPatch, value: str, number: int):
    monkeypatch.setenv("SIZE", value)

    assert environment.integer("SIZE", 3, minimum=0, maximum=9) == number


@pytest.mark.parametrize("value", ["x", "nan", "inf", "1e-1", "-0.1", "1.1", ".5", "0,5", "1." + "0" * 30])
def test_number_refuses_what_is_none(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("SHARE", value)

    with pytest.raises(ImproperlyConfigured, match="SHARE must be a number from 0 to 1"):
        environment.number("SHARE", 0.5, minimum=0, maximum=1)


@pytest.mark.parametrize(("value", "number"), [("", 0.5), (" 0.25 ", 0.25), ("0", 0), ("1", 1)])
def test_number_reads_fractions(monkeypatch: pytest.MonkeyPatch, value: str, number: float):
    monkeypatch.setenv("SHARE", value)

    assert environment.number("SHARE", 0.5, minimum=0, maximum=1) == number


@pytest.mark.parametrize(("value", "answer"), [("", True), ("no", False), ("TRUE", True), ("1", True), ("Off", False)])
def test_flag_reads_yes_and_no(monkeypatch: pytest.MonkeyPatch, value: str, answer: bool):
    monkeypatch.setenv("FLAG", value)

    assert environment.flag("FLAG", default=True) is answer


def test_words_are_split_at_commas(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOSTS", " a.example , ,b.example")

    assert environment.words("HOSTS") == ["a.example", "b.example"]


_TRY = """
import os, sys, runpy
for name in sys.argv[1:]:
    os.environ[name] = "no such value"
    for module in [m for m in sys.modules if m == "recognizer.settings"]:
        del sys.modules[module]
    try:
        import recognizer.settings
        print(name, "TAKEN")
    except Exception as error:
        print(name, type(error).__name__, str(error))
    del os.environ[name]
"""


def test_every_bad_value_is_named(tmp_path: Path):
    names = [
        *INTEGERS,
        *FLAGS,
        *CHOICES,
        "RECOGNIZER_BROKER_URL",
        "RECOGNIZER_SECRET_KEY",
        "EMAIL_PORT",
        "EMAIL_USE_TLS",
    ]

    said = run([sys.executable, "-c", _TRY, *names], tmp_path).stdout.splitlines()

    assert len(said) == len(names)
    for name, line in zip(names, said, strict=True):
        assert line.startswith(f"{name} ImproperlyConfigured ")
        assert line.count(name) >= 2, line


def run(command: list[str], data_dir: Path, **extra: str) -> "subprocess.CompletedProcess[str]":
    environ = {
        **os.environ,
        "RECOGNIZER_DATA_DIR": str(data_dir),
        "DJANGO_SETTINGS_MODULE": "recognizer.settings",
        **extra,
    }
    return subprocess.run(
        command, cwd=PROJECT_DIR, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


# The signing key

_KEY = "import sys; from pathlib import Path; from recognizer.secret_key import load_secret_key as load; "


def test_racing_processes_agree_on_one_key(tmp_path: Path):
    path = tmp_path / "run" / "secret_key"
    code = _KEY + "sys.stdin.read(1); print(load(Path(sys.argv[1]), required=False))"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            cwd=PROJECT_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        racer.stdin.write("x")
        racer.stdin.flush()
    keys = {racer.communicate(timeout=60)[0] for racer in racers}

    assert keys == {path.read_text() + "\n"}
    assert len(path.read_text()) >= 32
    assert path.stat().st_mode & 0o077 == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_empty_key_file_of_a_power_cut_is_replaced(tmp_path: Path):
    path = tmp_path / "key"
    path.touch()

    key = load_secret_key(path, required=False)

    assert len(key) >= 32
    assert load_secret_key(path, required=False) == path.read_text() == key
    assert path.stat().st_mode & 0o777 == 0o600


def test_key_is_made_once(tmp_path: Path):
    first = load_secret_key(tmp_path / "key", required=False)

    assert load_secret_key(tmp_path / "key", required=False) == first


def test_named_key_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECOGNIZER_SECRET_KEY", "k" * 32)

    assert load_secret_key(tmp_path / "key", required=True) == "k" * 32
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("key", ["", "short"])
def test_production_needs_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str):
    monkeypatch.setenv("RECOGNIZER_SECRET_KEY", key)

    with pytest.raises(ImproperlyConfigured, match="RECOGNIZER_SECRET_KEY"):
        load_secret_key(tmp_path / "key", required=True)
    assert not (tmp_path / "key").exists()


def test_production_asks_for_hosts_and_postgres(tmp_path: Path):
    said = run(
        [sys.executable, "manage.py", "check"], tmp_path, RECOGNIZER_PRODUCTION="1", RECOGNIZER_SECRET_KEY="k" * 40
    )

    assert said.returncode != 0
    assert "RECOGNIZER_ALLOWED_HOSTS" in said.stderr
    assert "DATABASE_URL" in said.stderr


def test_command_before_the_first_start_says_what_to_do(tmp_path: Path):
    said = run([sys.executable, "manage.py", "models", "list"], tmp_path)

    assert said.returncode == 1
    assert said.stderr.startswith("The database has no tables yet. Run `make serve` once")
