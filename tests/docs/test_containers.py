"""Dockerfile and docker-compose.yml against the code, without a container runtime."""

import fnmatch
import importlib.util
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from recognizer.supervisor.options import Options
from recognizer.supervisor.programs import list_programs

PROJECT_DIR = Path(__file__).resolve().parents[2]
DOCKERFILE = (PROJECT_DIR / "Dockerfile").read_text()
TEXT = (PROJECT_DIR / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = ["web", "worker", "trainer", "beat", "setup"]
SETTINGS = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (PROJECT_DIR / "docs" / "settings.md").read_text()))


def test_every_part_of_the_service_is_there():
    assert {*OURS, "proxy", "database", "broker", "storage", "bucket"} == SERVICES.keys()


def test_only_the_proxy_can_be_reached_from_outside():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]


@pytest.mark.parametrize("name", OURS)
def test_settings_are_known_to_the_code(name: str):
    environment = SERVICES[name]["environment"]
    assert environment.keys() <= SETTINGS
    assert {
        "RECOGNIZER_PRODUCTION",
        "RECOGNIZER_SECRET_KEY",
        "DATABASE_URL",
        "RECOGNIZER_BROKER_URL",
    } <= environment.keys()


def test_example_of_env_names_every_variable_of_the_file():
    example = (PROJECT_DIR / "deploy" / "env.example").read_text()
    named = set(re.findall(r"\$\{([A-Z_]+)", TEXT))
    assert named <= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    assert not re.search(r"^[A-Z_]*(KEY|PASSWORD)=.", example, re.MULTILINE)


def test_no_secret_stands_in_the_file():
    secrets = [
        value
        for service in SERVICES.values()
        for key, value in service.get("environment", {}).items()
        if re.search("KEY$|PASSWORD$", key)
    ]
    assert secrets
    assert all(re.match(r"\$\{[A-Z_]+:\?", value) for value in secrets)


@pytest.mark.parametrize("name", SERVICES)
def test_waits_only_for_what_says_that_it_is_ready(name: str):
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other] or f"AS {other}" in DOCKERFILE
        else:
            assert SERVICES[other]["restart"] == "no"


def test_volumes_are_declared():
    used = {mount.partition(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert {name for name in used if not name.startswith(".")} == yaml.safe_load(TEXT)["volumes"].keys()
    assert all((PROJECT_DIR / name).exists() for name in used if name.startswith("."))


def commands() -> list[str]:
    in_dockerfile = re.findall(r"(?:CMD|RUN [^#]*?) (\[.*?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    ours = [SERVICES[name]["command"] for name in OURS if "command" in SERVICES[name]]
    return [*(" ".join(yaml.safe_load(text.replace("\\\n", " "))) for text in in_dockerfile), *map(" ".join, ours)]


def test_commands_run_what_exists():
    assert len(commands()) >= 5
    for command in commands():
        words = command.split()
        assert words[0] in {"python", "celery"}
        if words[0] == "python" and words[1] == "-m":
            assert importlib.util.find_spec(words[2])
    assert "celery" in {script.name for script in entry_points(group="console_scripts")}


def test_workers_and_beat_take_the_options_that_are_given():
    given = [command for command in commands() if command.startswith("celery ")]
    assert len(given) == 3
    for command in given:
        program = [sys.executable, "-m", *command.split()]
        helped = subprocess.run(
            [*program, "--help"], check=False, capture_output=True, text=True, timeout=30, cwd=PROJECT_DIR
        )
        assert helped.returncode == 0, helped.stderr


@pytest.mark.parametrize("source", sorted(set(re.findall(r"^COPY (\S+) ", DOCKERFILE, re.MULTILINE))))
def test_copied_files_exist_and_reach_the_builder(source: str):
    assert (PROJECT_DIR / source).exists()
    kept = [line[1:] for line in (PROJECT_DIR / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert any(fnmatch.fnmatch(source.rstrip("/"), pattern) for pattern in kept)


def test_images_run_as_an_ordinary_user():
    assert DOCKERFILE.count("\nUSER recognizer\n") == 2


def test_proxy_lets_through_what_the_service_takes():
    caddyfile = (PROJECT_DIR / "deploy" / "Caddyfile").read_text()
    [megabytes] = re.findall(r"max_size (\d+)MB", caddyfile)
    assert int(megabytes) * 1_000_000 >= 90_000_000 * 4 // 3
    assert "reverse_proxy web:8000" in caddyfile


@pytest.mark.skipif(not shutil.which("docker"), reason="no docker command")
def test_compose_accepts_the_file(tmp_path: Path):
    if subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no docker compose")
    (tmp_path / "env").write_text(
        "RECOGNIZER_SECRET_KEY=a\nRECOGNIZER_DATABASE_PASSWORD=b\nRECOGNIZER_STORAGE_PASSWORD=c\n"
    )
    command = [
        "docker",
        "compose",
        "-f",
        PROJECT_DIR / "docker-compose.yml",
        "--env-file",
        tmp_path / "env",
        "config",
        "-q",
    ]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


# The web image holds requirements/runtime.txt and nothing else: whatever came with another package is hidden.
WEB_WITH_ITS_OWN_PACKAGES = """
import re, sys
from importlib.metadata import packages_distributions
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
installed = {plain(name) for name in re.findall(r"^([\\w.-]+)==", open("requirements/runtime.txt").read(), re.M)}
owners = packages_distributions()
class Hidden:
    def find_spec(self, name, path=None, target=None):
        owned_by = owners.get(name.partition(".")[0])
        if owned_by and installed.isdisjoint(map(plain, owned_by)):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
import recognizer.wsgi, recognizer.web
from django.urls import get_resolver
get_resolver().url_patterns
print("loaded")
"""


def test_web_image_needs_no_package_of_the_worker():
    command = [sys.executable, "-W", "ignore", "-c", WEB_WITH_ITS_OWN_PACKAGES]
    loaded = subprocess.run(command, check=False, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=60)
    assert loaded.stdout == "loaded\n", loaded.stderr


@pytest.mark.parametrize("name", ["web", "worker"])
def test_image_has_the_environment_of_its_process(name: str):
    options = Options(host="127.0.0.1", port=1, data_dir=Path("data"), has_own_broker=False)
    [program] = [program for program in list_programs(options) if program.name == name]
    [target] = re.findall(rf"^FROM base AS {name}\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)

    assert program.environment
    for variable, value in program.environment.items():
        assert f"ENV {variable}={value}\n" in target
