"""The gate decides from the newest judgement: of this pair, this test part, these labels."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.utils.timezone import now

from recognizer.registry.gate import why_outdated
from recognizer.registry.models import HistoryError, Judgement, Label, ModelVersion, TestState
from recognizer.registry.promotion import PromotionRefused, promote, rollback
from tests.registry_rows import promoted_version, registered_version

pytestmark = pytest.mark.django_db


def state_of(version: ModelVersion, number: int = 1) -> TestState:
    return TestState.objects.create(model=version.model, number=number, content_sha256=f"{number:064}", num_photos=9)


def judgement(candidate: ModelVersion, serving: ModelVersion, *, passed: bool = True, **fields: Any) -> Judgement:
    """What a worker writes."""
    rules = [{"rule": "accuracy", "outcome": "passed" if passed else "refused", "words": "Measured.", "labels": []}]
    state = candidate.model.test_states.first() or state_of(candidate)
    labels = candidate.model.labels.all().state_sha256()
    known = {"test_state": state, "labels_sha256": labels, "rules": rules, "limits": {}, "figures": {}}
    return Judgement.objects.create(candidate=candidate, serving=serving, passed=passed, **{**known, **fields})


@pytest.fixture
def pair() -> tuple[ModelVersion, ModelVersion]:
    """What serves, and a candidate."""
    serving = promoted_version("fruit")
    return serving, registered_version("fruit", number=2)


def test_passed_judgement_promotes_and_is_named(pair: Any):
    serving, candidate = pair
    row = judgement(candidate, serving)

    promotion = promote(candidate, by=None)

    assert (promotion.kind, promotion.gate, promotion.judgement) == ("promotion", "Measured.", row)


def test_refused_judgement_refuses_with_its_words(pair: Any):
    serving, candidate = pair
    judgement(candidate, serving, passed=False)

    with pytest.raises(PromotionRefused, match=r"Measured\. An administrator may force it"):
        promote(candidate, by=None)


@pytest.mark.parametrize("is_good_now", [True, False])
def test_newest_judgement_counts(pair: Any, is_good_now: bool):
    serving, candidate = pair
    judgement(candidate, serving, passed=not is_good_now)
    judgement(candidate, serving, passed=is_good_now)

    if is_good_now:
        promote(candidate, by=None)
    else:
        with pytest.raises(PromotionRefused):
            promote(candidate, by=None)


def test_judgement_against_another_version_does_not_count(pair: Any):
    serving, candidate = pair
    judgement(candidate, serving)
    third = registered_version("fruit", number=3)
    judgement(third, serving)
    promote(third, by=None)

    with pytest.raises(PromotionRefused, match="fruit v2 was not judged against fruit v3, which serves"):
        promote(candidate, by=None)


def test_roles_are_not_exchanged(pair: Any):
    serving, candidate = pair
    judgement(serving, candidate)

    with pytest.raises(PromotionRefused, match="was not judged"):
        promote(candidate, by=None)


def test_older_test_state_does_not_count(pair: Any):
    serving, candidate = pair
    judgement(candidate, serving)
    state_of(candidate, 2)

    with pytest.raises(PromotionRefused, match=r"in state 2 by now, and this was measured on 1\. Judge"):
        promote(candidate, by=None)


def test_other_models_test_states_do_not_matter(pair: Any):
    serving, candidate = pair
    judgement(candidate, serving)
    state_of(registered_version("cars"), 7)

    assert promote(candidate, by=None).kind == "promotion"


@pytest.mark.parametrize("change", ["merged_into", "retired_at"])
def test_changed_labels_do_not_count(pair: Any, change: str):
    serving, candidate = pair
    labels = [Label.objects.create(model=serving.model, key=key) for key in ("kiwi", "kiwis")]
    judgement(candidate, serving)
    changed = Label.objects.filter(pk=labels[1].pk)
    changed.update(**{change: now() if change == "retired_at" else labels[0]})

    with pytest.raises(PromotionRefused, match="Labels were merged or retired since"):
        promote(candidate, by=None)
    changed.update(**{change: None})
    assert promote(candidate, by=None).kind == "promotion"


def test_retiring_a_label_that_judged_nothing_leaves_it_true(pair: Any):
    serving, candidate = pair
    for key in ("kiwi", "typo"):
        Label.objects.create(model=serving.model, key=key)
    kiwi = serving.model.labels.filter(key="kiwi")
    row = judgement(candidate, serving, figures={"labels": ["kiwi"]}, labels_sha256=kiwi.state_sha256())

    serving.model.labels.filter(key="typo").update(retired_at=now())
    assert why_outdated(row) == ""
    kiwi.update(retired_at=now())
    assert why_outdated(row)


def test_renamed_and_new_labels_leave_the_judgement_true(pair: Any):
    serving, candidate = pair
    label = Label.objects.create(model=serving.model, key="kiwi")
    judgement(candidate, serving)
    Label.objects.filter(pk=label.pk).update(names={"en": "Kiwi"})
    Label.objects.create(model=serving.model, key="pear")

    assert promote(candidate, by=None).kind == "promotion"


def test_frozen_data_makes_evaluations_too_little(pair: Any):
    _, candidate = pair
    for version in pair:
        version.evaluations.create(dataset="a", dataset_sha256="a" * 64, num_images=9, accuracy=0.9)
    state_of(candidate)

    with pytest.raises(PromotionRefused, match="was not judged"):
        promote(candidate, by=None)


def test_rollback_asks_no_gate(pair: Any):
    serving, candidate = pair
    judgement(candidate, serving)
    promote(candidate, by=None)
    state_of(candidate, 2)

    assert rollback(serving.model, by=None).version == serving


def person(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def test_force_needs_the_permission_of_its_own(pair: Any):
    serving, candidate = pair
    judgement(candidate, serving, passed=False)
    promoter = person("promoter", "add_promotion")
    forcer = person("forcer", "add_promotion", "force_promotion")

    with pytest.raises(PromotionRefused, match="You may not force a promotion"):
        promote(candidate, by=promoter, force=True, reason="I like it")
    with pytest.raises(PromotionRefused, match="written reason"):
        promote(candidate, by=forcer, force=True, reason=" ")
    assert promote(candidate, by=forcer, force=True, reason="a new class").kind == "forced"


def test_force_is_no_excuse_where_the_gate_passes(pair: Any):
    serving, candidate = pair
    judgement(candidate, serving)

    assert promote(candidate, by=person("promoter", "add_promotion"), force=True).kind == "promotion"


def test_judgement_is_never_edited(pair: Any):
    serving, candidate = pair
    row = Judgement.objects.get(pk=judgement(candidate, serving).pk)

    with pytest.raises(HistoryError):
        row.save()
    with pytest.raises(HistoryError):
        row.delete()
