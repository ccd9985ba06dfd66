"""What each rule of the gate says of figures, by hand."""

from typing import Any

import pytest

from recognizer.registry.rules import Limits, Rule, apply_rules, has_passed

PARITY = {"score_difference": 1e-6, "logit_difference": 1e-5, "feature_difference": 2e-5}


def figures(**changed: Any) -> dict[str, Any]:
    """A candidate that is as good as what serves."""
    return {
        "num_photos": 100,
        "accuracy": accuracy(0.0),
        "classes": [recall("apple", 50, 0), recall("banana", 50, 0)],
        "forgotten": [],
        "latency_ms": {"candidate": {"p50": 10.0}, "serving": {"p50": 10.0}},
        "parity": {"batch of 1": PARITY, "openvino-cpu-bfloat16": {}},
        "separate_process": {"error": "", "score_difference": 0.0},
        "ece": {"candidate": 0.02, "serving": 0.02},
        "false_alarms": {"candidate": 0.05, "serving": 0.05},
        "learned": {"candidate": [learned("v2", 0)], "serving": [learned("v1", 0)]},
        **changed,
    }


def learned(version: str, number: int | None) -> dict[str, Any]:
    return {"version": version, "num_learned": number}


def accuracy(difference: float) -> dict[str, Any]:
    counts = {"gained": 1, "lost": 2, "p_value": 0.03, "interval": [difference - 0.02, difference + 0.02]}
    return {"candidate": 0.9 + difference, "serving": 0.9, "difference": difference, **counts}


def recall(label: str, num_photos: int, lost: int, gained: int = 0) -> dict[str, Any]:
    difference = (gained - lost) / num_photos
    return {
        "label": label,
        "num_photos": num_photos,
        "candidate": 1.0 + difference,
        "serving": 1.0,
        "difference": difference,
        "interval": [difference - 0.1, difference + 0.1],
        "gained": gained,
        "lost": lost,
    }


def said(name: str, limits: Limits | None = None, **changed: Any) -> Rule:
    rules = apply_rules(figures(**changed), limits or Limits())
    return next(rule for rule in rules if rule.rule == name)


def test_candidate_that_is_as_good_passes():
    rules = apply_rules(figures(), Limits())

    assert has_passed(rules)
    assert {rule.outcome for rule in rules} == {"passed"}
    assert all(rule.words.endswith(".") for rule in rules)


@pytest.mark.parametrize(
    ("difference", "margin", "outcome"),
    [(0.01, 0, "passed"), (0.0, 0, "passed"), (-0.01, 0, "refused"), (-0.01, 0.01, "passed"), (-0.02, 0.01, "refused")],
)
def test_accuracy_may_not_be_lower_than_the_margin(difference: float, margin: float, outcome: str):
    rule = said("accuracy", Limits(margin=margin), accuracy=accuracy(difference))

    assert rule.outcome == outcome
    assert has_passed([rule]) is (outcome == "passed")


def test_accuracy_is_told_with_its_doubt():
    words = said("accuracy", accuracy=accuracy(-0.05)).words

    assert words == (
        "Accuracy 85.0 % against 90.0 % on 100 test photos: -5.0 points (95 % interval -7.0 to -3.0; only the "
        "candidate is right on 1, only what serves on 2; McNemar p = 0.03)."
    )


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (recall("apple", 20, 1), "passed"),  # exactly the margin
        (recall("apple", 20, 2), "refused"),
        (recall("apple", 10, 1), "passed"),  # one photo alone
        (recall("apple", 10, 3, 2), "passed"),  # one photo, net
        (recall("apple", 10, 2), "refused"),
        (recall("apple", 9, 9), "refused"),  # few photos, and luck does not lose all of them
        (recall("apple", 9, 5), "refused"),  # p = 0.03
        (recall("apple", 9, 6, 1), "passed"),  # p = 0.06: luck may do that
        (recall("apple", 9, 4), "passed"),  # p = 0.06
        (recall("apple", 9, 7, 1), "refused"),  # p = 0.04
        (recall("apple", 9, 5) | {"interval": [-0.8, -0.05]}, "passed"),  # the margin is not surely passed
        (recall("apple", 20, 0, 5), "passed"),
    ],
)
def test_class_may_not_lose_more_than_the_margin(row: dict[str, Any], outcome: str):
    assert said("classes", classes=[row, recall("banana", 50, 0)]).outcome == outcome


def test_every_losing_class_is_named_with_its_interval():
    rule = said("classes", classes=[recall("apple", 20, 8), recall("kiwi", 10, 2), recall("pear", 30, 0)])

    assert rule.labels == ["apple", "kiwi"]
    assert rule.words.startswith(
        "{apple} falls from 100.0 % to 60.0 % recall on 20 test photos: -40.0 points "
        "(95 % interval -50.0 to -30.0). {kiwi} falls"
    )
    assert rule.words.endswith("At most 5 points are allowed.")


def test_small_class_is_named_with_the_chance_that_it_is_luck():
    rule = said("classes", classes=[recall("kiwi", 9, 9)])

    assert rule.labels == ["kiwi"]
    assert "on 9 test photos: -100.0 points (95 % interval -110.0 to -90.0; by luck with p = 0.002)." in rule.words


def test_limits_of_a_class_can_be_set():
    row = recall("apple", 5, 2)

    assert said("classes", Limits(class_photos=5), classes=[row]).outcome == "refused"
    assert said("classes", Limits(class_photos=5, class_margin=0.4), classes=[row]).outcome == "passed"


def test_loss_on_few_photos_is_a_warning():
    rule = said("few photos", classes=[recall("apple", 10, 1), recall("kiwi", 4, 4), recall("pear", 30, 10)])

    assert (rule.outcome, rule.labels) == ("warning", ["apple", "kiwi"])
    assert "{apple} 1 of 10, {kiwi} 4 of 4 lost" in rule.words


def test_small_classes_are_named():
    rule = said("few photos", classes=[recall("apple", 50, 0), recall("kiwi", 4, 0)])

    assert (rule.outcome, rule.labels) == ("passed", ["kiwi"])


@pytest.mark.parametrize(
    ("name", "changed", "outcome"),
    [
        ("known classes", {"forgotten": ["kiwi"]}, "refused"),
        ("latency", {"latency_ms": {"candidate": {"p50": 15.0}, "serving": {"p50": 10.0}}}, "passed"),
        ("latency", {"latency_ms": {"candidate": {"p50": 15.1}, "serving": {"p50": 10.0}}}, "refused"),
        ("export", {"parity": {}}, "refused"),
        ("export", {"parity": {"openvino-cpu-bfloat16": PARITY}}, "refused"),
        ("export", {"parity": {"batch of 8": PARITY | {"logit_difference": 0.1}}}, "refused"),
        ("separate process", {"separate_process": {"error": "No.", "score_difference": None}}, "refused"),
        ("separate process", {"separate_process": {"error": "", "score_difference": 0.01}}, "refused"),
        ("calibration", {"ece": {"candidate": 0.07, "serving": 0.02}}, "passed"),
        ("calibration", {"ece": {"candidate": 0.08, "serving": 0.02}}, "warning"),
        ("none of my classes", {"false_alarms": {"candidate": 0.2, "serving": 0.05}}, "warning"),
        ("none of my classes", {"false_alarms": {"candidate": None, "serving": 0.05}}, "warning"),
        ("none of my classes", {"false_alarms": {"candidate": None, "serving": None}}, "passed"),
        ("none of my classes", {"false_alarms": {"candidate": 0.04, "serving": None}}, "passed"),
    ],
)
def test_other_rules(name: str, changed: dict[str, Any], outcome: str):
    rule = said(name, **changed)

    assert rule.outcome == outcome
    assert has_passed([rule]) is (outcome != "refused")
    assert rule.words.endswith(".")


@pytest.mark.parametrize(
    ("candidate", "serving", "outcome", "words"),
    [
        (
            [("v2", 0), ("v1", 0)],
            [("v1", 0)],
            "passed",
            "(v2, which started from v1) learned from none of these photos.",
        ),
        ([("v2", 3)], [("v1", 0)], "refused", "The candidate (v2) learned from photos that judge it: v2 from 3."),
        ([("v2", 0), ("v1", 3)], [("v1", 3)], "refused", "learned from photos that judge it: v1 from 3."),
        (
            [("v2", 0), ("v1", None)],
            [("v3", 0)],
            "warning",
            "not known whether it learned from these photos, for v1",
        ),
        ([("v2", None), ("v1", 1)], [("v3", 0)], "refused", "v1 from 1."),
        ([("v2", 0)], [("v1", 2)], "warning", "What serves (v1) learned from photos that judge it: v1 from 2."),
        ([("v2", 0)], [("v1", None)], "warning", "What serves (v1): not known whether it learned from these photos"),
    ],
)
def test_photos_that_judge_are_unseen(
    candidate: list[tuple[str, int]], serving: list[tuple[str, int]], outcome: str, words: str
):
    lines = {"candidate": [learned(*one) for one in candidate], "serving": [learned(*one) for one in serving]}

    rule = said("unseen photos", learned=lines)

    assert rule.outcome == outcome
    assert words in rule.words
