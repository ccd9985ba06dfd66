"""What the documentation names exists, and nothing names what belongs to one machine only."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.urls import get_resolver, resolve

from recognizer.predictions.filters import PredictionFilter
from recognizer.predictions.serializers import PredictionSerializer, PredictSerializer
from recognizer.problems import STATUS_OF_ERROR, STATUS_OF_REFUSAL

PROJECT_DIR = Path(__file__).resolve().parents[2]
PAGES = [*PROJECT_DIR.glob("*.md"), *(PROJECT_DIR / "docs").rglob("*.md"), *(PROJECT_DIR / "starters").rglob("*.md")]
API = (PROJECT_DIR / "docs" / "api.md").read_text()
SAMPLE_ID = "8b7cdcf8-a090-4591-b9fd-29135f284698"


def page_id(path: Path) -> str:
    return str(path.relative_to(PROJECT_DIR))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_lead_somewhere(page: Path):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_named_commands_exist(page: Path):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", (PROJECT_DIR / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"manage\.py ([a-z]+)", text)) <= get_commands().keys()
    # In prose "make" is a verb: only code counts.
    assert set(re.findall(r"(?:`|^|[A-Z]+=\S+ )make ([a-z][a-z-]*)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_named_source_files_exist(page: Path):
    names = re.findall(
        r"`((?:recognizer|classifier_core|starters|tests|docs|deploy|requirements)/[\w./-]+)`", page.read_text()
    )
    missing = [name for name in names if not (PROJECT_DIR / name).exists() and "NAME" not in name]
    assert not [name for name in missing if not name.endswith("...")]


def documented_routes() -> set[str]:
    return set(re.findall(r"`(/[\w/{}.]*)`", API))


def view_name(route: str) -> str:
    return resolve(route.replace("{id}", SAMPLE_ID).replace("{name}", "fruit")).view_name


@pytest.mark.parametrize("route", sorted(documented_routes()))
def test_documented_routes_lead_somewhere(route: str):
    assert view_name(route)


def test_every_api_route_is_documented():
    [api] = [entry for entry in get_resolver().url_patterns if getattr(entry, "namespace", "") == "api"]
    assert {f"api:{entry.name}" for entry in api.url_patterns} <= {view_name(route) for route in documented_routes()}


@pytest.mark.parametrize("key", PredictionSerializer().fields)
def test_every_key_of_the_answer_is_documented(key: str):
    assert re.search(rf"^\| .*`{key}`", API, re.MULTILINE)


@pytest.mark.parametrize("option", sorted(PredictSerializer().fields))
def test_every_option_is_documented(option: str):
    assert f"`{option}`" in API


def test_every_filter_is_documented():
    [words] = re.findall(r"Filters of .*?\n\n", API, re.DOTALL)
    assert set(re.findall(r"`([a-z_]+)`", words)) - {"next", "page_size"} >= PredictionFilter.base_filters.keys()


def test_every_problem_is_documented_with_its_status():
    rows = re.findall(r"^\| ([\d, ]+) \| ([^|]+) \|", API.partition("## Errors")[2], re.MULTILINE)
    documented = {
        (int(status), code)
        for statuses, codes in rows
        for status in statuses.split(", ")
        for code in re.findall(r"`([a-z-]+)`", codes)
    }
    refusals = {(status, code.replace("_", "-")) for code, status in STATUS_OF_REFUSAL.items()}
    assert set(STATUS_OF_ERROR.values()) | refusals <= documented


def test_readme_shows_the_answer_that_the_api_gives():
    [block] = re.findall(r"```json\n(.*?)```", (PROJECT_DIR / "README.md").read_text(), re.DOTALL)
    shown = json.loads(block)
    assert list(shown) == list(PredictionSerializer().fields)
    for name in ("image", "model", "top", "timing_ms"):
        assert shown[name].keys() - {"..."} <= PredictionSerializer().fields[name].fields.keys()  # type: ignore[attr-defined]


def test_example_of_an_own_model_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    section = (PROJECT_DIR / "docs" / "training.md").read_text().partition("## Your own model")[2].partition("\n## ")[0]
    [example] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert {path.name for path in Path("my_artifact").iterdir()} == {"artifact.json", "model.safetensors"}


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a checkout")
    return [PROJECT_DIR / name for name in listed.stdout.splitlines() if (PROJECT_DIR / name).is_file()]


def test_no_file_names_a_package_index_or_a_private_path():
    # In parts, so that this file does not name them.
    hosts = [
        "pypi" + ".org",
        "python" + "hosted.org",
        "registry.npmjs" + ".org",
        "npmjs" + ".com",
        "deb.debian" + ".org",
    ]
    paths = ["/" + "work/", "/home" + "/", "/root" + "/"]
    forbidden = re.compile("|".join(map(re.escape, hosts + paths)))
    named = {
        str(path.relative_to(PROJECT_DIR)): match[0]
        for path in tracked_files()
        if (match := forbidden.search(path.read_bytes().decode("latin-1")))
        and path.suffix
        in {
            "",
            ".cfg",
            ".css",
            ".html",
            ".in",
            ".js",
            ".json",
            ".md",
            ".py",
            ".sh",
            ".svg",
            ".toml",
            ".tsv",
            ".txt",
            ".yml",
        }
    }
    assert not named
