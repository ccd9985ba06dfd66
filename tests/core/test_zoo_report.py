"""The page on many networks."""

from dataclasses import replace
from pathlib import Path

from classifier_core.reports import plots
from classifier_core.reports.zoo import table_rows, write_zoo
from classifier_core.zoo import ENGINES, Entry

RUN = Entry("tiny", "scratch", 10, 0.9, 0.8, 1000, 2000, 3000, dict.fromkeys(map(str, ENGINES), 1.0), (0.5,))


def test_two_loaded_runs_of_one_network_are_told_apart(tmp_path: Path) -> None:
    entries = [replace(RUN, source="runs/a"), replace(RUN, source="runs/b"), replace(RUN, start="pretrained")]

    write_zoo(entries, [], tmp_path / "report.html", name="data")

    page = (tmp_path / "report.html").read_text()
    assert [row[0] for row in table_rows(entries)] == ["tiny, runs/a", "tiny, runs/b", "tiny, pretrained"]
    assert "pretrained: 0.900; scratch, runs/a: 0.900; scratch, runs/b: 0.900" in page


def test_runs_from_scratch_alone_show_nothing_pretrained(tmp_path: Path) -> None:
    write_zoo([replace(RUN, source=one) for one in "ab"], [], tmp_path / "report.html", name="data")

    assert "Pretrained against scratch" not in (tmp_path / "report.html").read_text()


def test_run_of_one_epoch_is_a_point() -> None:
    [axes] = plots.run_curves({"a": [0.5]}, ylabel="accuracy").axes

    assert axes.lines[0].get_marker() == "o"
