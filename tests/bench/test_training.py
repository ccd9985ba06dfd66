"""The bench of training: its ratio by hand, and that it runs."""

import json

import pytest

from bench import training
from bench.training import Figures


def test_ratio_is_the_median_of_the_rounds():
    figures = Figures([10.0, 12.0, 9.0], [5.0, 8.0, 3.0], device="cpu", precision="float32", num_threads=2)
    assert figures.ratio == 2.0
    text = training.to_text(figures)
    assert "ours           10.0 photos/s" in text
    assert "ratio          2.00           (limit 1.5)" in text


@pytest.mark.long
def test_bench_measures_both_loops(tmp_path, monkeypatch, capsys):
    path = tmp_path / "figures.json"
    arguments = ["training", "--photos", "8", "--batch-size", "4", "--rounds", "1", "--json", str(path)]
    monkeypatch.setattr("sys.argv", arguments)
    training.main()
    figures = json.loads(path.read_text())
    assert figures["ours"][0] > 0 < figures["reference"][0]
    assert figures["limit"] == 1.5
    assert "photos decoded once" in capsys.readouterr().out
