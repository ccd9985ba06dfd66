import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier_core.known import KnownRule, unit_vectors
from classifier_core.reports import plots
from classifier_core.reports.judgement import add_judgement, write_figures
from classifier_core.reports.page import Report

LABELS = ["apple", "香蕉", "_odd $x$ <b>"]


class Page(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data + " "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.effect_noise((300, 200), 60).convert("RGB").save(path)
    return path


def answers(count: int = 60) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    targets = random.integers(0, 3, count)
    features = np.eye(8)[targets] + random.normal(size=(count, 8)) * 0.5
    return {"targets": targets, "logits": features[:, :3] * 4, "features": features}


def judged(tmp_path: Path, photo: Path, **parts: object) -> tuple[Page, dict]:
    report = Report("How good is it?")
    report.section("On test photos")
    values = answers() | {"labels": LABELS, "temperature": 1.5} | parts
    figures = add_judgement(report, photos=[photo] * len(values["targets"]), **values)
    report.write(tmp_path / "report.html")
    return Page(tmp_path / "report.html"), figures


@pytest.fixture(scope="module")
def report(tmp_path_factory, photo) -> tuple[Page, dict]:
    return judged(tmp_path_factory.mktemp("report"), photo)


@pytest.fixture(scope="module")
def page(report) -> Page:
    return report[0]


def test_judgement_has_every_figure_on_the_page_and_as_json(tmp_path, report):
    page, figures = report
    write_figures(figures, tmp_path / "figures")

    names = ["metrics", "confusion_matrix", "roc_curves", "pr_curves", "reliability", "coverage_error", "tsne"]
    assert [name for name in names if not (tmp_path / "figures" / f"{name}.json").is_file()] == []
    assert len(page.all("svg")) == 6
    assert sum(json.loads((tmp_path / "figures" / "confusion_matrix.json").read_text())["counts"][0]) > 0


def test_page_fetches_nothing(page):
    links = [
        attributes.get("src") or attributes.get("xlink:href") or attributes.get("href") for _, attributes in page.tags
    ]
    assert all(link.startswith(("data:", "#")) for link in links if link)
    assert not page.all("script")
    assert "url(http" not in page.html


def test_figures_follow_the_colour_of_the_page_and_keep_text(page):
    assert page.html.count("currentColor") > 50
    assert page.words.count("香蕉") > 5
    assert "_odd $x$ <b>" in page.words


def test_mistakes_are_shown_as_pictures(page):
    pictures = page.all("img")
    assert 0 < len(pictures) <= 12
    assert all("answered" in picture["alt"] for picture in pictures)


def test_without_mistakes_the_page_says_so(tmp_path, photo):
    right = {name: values[:9] for name, values in answers().items()}  # too few for a t-SNE, which takes time
    page, _ = judged(tmp_path, photo, **right | {"targets": right["logits"].argmax(1)})

    assert "Not one photo was answered wrong." in page.words
    assert not page.all("img")


def test_known_rule_is_a_point_on_the_coverage_curve(tmp_path, photo):
    rule = KnownRule(0.5, 0.4, unit_vectors(answers()["features"]))

    few = {name: values[:9] for name, values in answers().items()}
    _, figures = judged(tmp_path, photo, **few, known=rule)

    assert set(figures["coverage_error"]["curves"]) == {"surest score first", "nearest to known photos first"}
    assert 0 < figures["coverage_error"]["chosen"]["coverage"] < 1


def test_few_photos_of_one_class_can_be_judged(tmp_path, photo):
    few = {name: values[:3] for name, values in answers().items()} | {"targets": np.zeros(3, int)}

    _, figures = judged(tmp_path, photo, **few)

    assert "roc_curves" not in figures
    assert "tsne" not in figures


def test_every_figure_and_table_is_named_for_those_who_do_not_see_it(page):
    assert all(one["aria-label"] for one in page.all("div") if one.get("role") in ("img", "region"))
    assert len(page.all("h1")) == 1


def test_ids_are_there_once(page):
    ids = re.findall(r'\bid="([^"]+)"', page.html)
    assert len(ids) == len(set(ids))


def test_contents_lead_to_the_sections(tmp_path):
    report = Report("Title", intro="An intro.")
    for title in ("One", "Two", "Three"):
        report.section(title, f"Words of {title}.\n\nMore & more.")
    report.section("Empty")
    report.write(tmp_path / "report.html")

    page = Page(tmp_path / "report.html")
    assert [one["href"] for one in page.all("a")] == ["#part-1", "#part-2", "#part-3"]
    assert [one["id"] for one in page.all("h2")] == ["part-1", "part-2", "part-3"]
    assert len(page.all("p")) == 7


def test_table_writes_numbers_alike(tmp_path):
    report = Report("Title")
    report.table(("class", "photos", "recall"), [("a", 1200, 0.5), ("b", 3, None)])
    report.write(tmp_path / "report.html")

    page = Page(tmp_path / "report.html")
    assert "a 1200 0.500 b 3 –" in " ".join(page.words.split())
    assert sum(one.get("class") == "number" for one in page.all("td")) == 3


def test_photo_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"text")
    report = Report("Title")
    report.photos([(tmp_path / "broken.jpg", "one"), (tmp_path / "missing.jpg", "two")])
    report.write(tmp_path / "report.html")

    assert Page(tmp_path / "report.html").words.count("cannot be read") == 2


def test_backticks_become_code_and_the_rest_is_escaped(tmp_path):
    report = Report("Title", intro="`inspect`")
    report.text("Run `dataset clean` on <b>.")
    report.write(tmp_path / "report.html")

    html = Page(tmp_path / "report.html").html
    assert "<p>Run <code>dataset clean</code> on &lt;b&gt;.</p>" in html
    assert "<code>inspect</code>" in html


def test_legend_of_equal_bars_lies_beside_them():
    figure = plots.class_bars({"a": 15, "b": 15})
    figure.draw_without_rendering()

    assert figure.legends[0].get_window_extent().y0 >= figure.axes[0].get_window_extent().y1


def test_data_figures_take_odd_classes(tmp_path):
    report = Report("Title")
    counts = {f"class {number}": number for number in range(40)} | {"_$": 7}
    report.figure(plots.class_bars(counts), alt="bars")
    report.figure(plots.resolution_scatter([(300, 200), (40, 4000)]), alt="sizes")
    report.figure(plots.loss_and_accuracy_curves([{"epoch": 1, "train": {"loss": 1.0, "accuracy": 0.5}}]), alt="course")
    report.figure(plots.run_curves({"_a": [0.1, 0.5], "b": [0.2]}, ylabel="accuracy"), alt="runs")
    report.figure(plots.confusion_matrix(np.eye(41, dtype=int).tolist(), list(counts)), alt="matrix")
    report.write(tmp_path / "report.html")

    assert len(Page(tmp_path / "report.html").all("svg")) == 5


def test_size_of_many_photos_is_drawn_larger():
    [axes] = plots.resolution_scatter([(10, 10)] * 9 + [(20, 10)]).axes

    areas = axes.collections[0].get_sizes()
    assert len(areas) == 2
    assert areas[0] > areas[1]
