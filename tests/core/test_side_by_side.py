"""Two versions on the same photos: figures by hand."""

import pytest

from classifier_core.errors import ClassifierError
from classifier_core.side_by_side import Said, confusion_change, side_by_side

LABELS = ("a", "a", "b", "b", "c", "x")


def said(answers: str, known: bool | None = True, classes: str = "ab") -> Said:
    return Said(tuple(answers), (0.5,) * len(answers), (known,) * len(answers), frozenset(classes))


def test_figures_by_hand():
    found = side_by_side(LABELS, range(6), candidate=said("aabbca", classes="abc"), serving=said("abbbaa"))

    assert (found["num_photos"], found["num_strangers"]) == (5, 1)
    assert (found["accuracy"]["candidate"], found["accuracy"]["serving"]) == (1.0, 3 / 5)
    assert (found["accuracy"]["gained"], found["accuracy"]["lost"]) == (2, 0)
    assert found["macro_recall"]["serving"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert [(row["label"], row["difference"], row["is_new"]) for row in found["classes"]] == [
        ("b", 0, False),
        ("a", 0.5, False),
        ("c", 1, True),
    ]
    assert found["ece"] == {"candidate": 0.5, "serving": pytest.approx(0.1)}


def test_class_that_only_one_knows_counts_against_the_other():
    found = side_by_side(("a", "c"), (0, 1), candidate=said("ac", classes="ac"), serving=said("aa", classes="ad"))

    assert found["accuracy"]["difference"] == 0.5
    assert found["forgotten"] == ["d"]


def test_strangers_shall_be_known_to_be_none():
    candidate, serving = said("aa", known=False), said("aa", known=None)

    found = side_by_side(("a", "x"), (0, 1), candidate=candidate, serving=serving)

    assert found["strangers_caught"] == {"candidate": 1.0, "serving": None}
    assert found["false_alarms"] == {"candidate": 1.0, "serving": None}


def test_only_strangers_say_nothing():
    with pytest.raises(ClassifierError, match="no photo of a class"):
        side_by_side(("x",), (0,), candidate=said("a"), serving=said("a"))


def test_retired_answer_is_wrong_and_no_class():
    candidate = Said(("",), (0.9,), (None,), frozenset({"a"}))

    found = side_by_side(("a",), (0,), candidate=candidate, serving=said("a", classes="a"))

    assert found["accuracy"]["difference"] == -1
    assert found["confusion"] == {"labels": ["a"], "changes": [[-1]], "num_classes": 1}


def test_confusion_change_counts_what_moved():
    found = confusion_change("aaab", before="aaab", after="abbb")

    assert found == {"labels": ["a", "b"], "changes": [[-2, 2], [0, 0]], "num_classes": 2}


def test_no_change_is_an_empty_table():
    assert confusion_change("ab", before="ab", after="ab") == {"labels": [], "changes": [], "num_classes": 0}


def test_large_table_shows_where_most_changed():
    labels = [f"{number:02}" for number in range(40)] + ["00"] * 3

    found = confusion_change(labels, before=labels, after=["x"] * 43)

    assert len(found["labels"]) == 12
    assert "00" in found["labels"]
    assert found["num_classes"] == 41


def test_class_interval_knows_groups():
    labels, groups = ["a"] * 8, [0, 0, 0, 0, 1, 1, 1, 1]
    worse = said("aaaabbbb")

    [row] = side_by_side(labels, groups, candidate=worse, serving=said("aaaaaaaa"))["classes"]

    assert row["difference"] == -0.5
    assert row["interval"] == [-1.0, 0.0]
