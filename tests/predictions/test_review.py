"""Verdicts: what counts, what is taken back, and two reviewers at one answer."""

import pytest
from django.contrib.auth.models import User

from recognizer.predictions.describe import describe
from recognizer.predictions.erasure import erase
from recognizer.predictions.feedback import NotAnswered
from recognizer.predictions.models import Feedback, Prediction, Review
from recognizer.predictions.review import (
    NONE_YET,
    JudgedMeanwhile,
    Overtaken,
    WrongLabel,
    approve,
    record,
    refuse,
    undo,
)
from recognizer.registry.models import Label
from recognizer.registry.taxonomy import merge, retire
from tests.admin.rows import answered, labelled_version
from tests.predictions.test_claim import at_once

pytestmark = pytest.mark.django_db
Verdict = Review.Verdict


@pytest.fixture
def row(db: None) -> Prediction:
    """An answer `banana` of a model that knows apples, bananas and plums."""
    return answered(labelled_version("fruit", "apple", "banana", "plum"))


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create(username="ada")


@pytest.fixture
def ben(db: None) -> User:
    return User.objects.create(username="ben")


def label(key: str) -> Label:
    return Label.objects.get(key=key)


def test_previous_label_is_the_one_that_counted(row: Prediction, ada: User):
    for verdict, key in [("corrected", "apple"), ("corrected", "plum"), ("rejected", None), ("confirmed", None)]:
        record(row, verdict=Verdict(verdict), reviewer=ada, label=label(key) if key else None)

    assert [review.previous_label for review in row.reviews.order_by("pk")] == ["banana", "apple", "plum", ""]


def test_verdict_on_what_another_reviewer_judged_is_refused(row: Prediction, ada: User, ben: User):
    theirs = record(row, verdict=Verdict.REJECTED, reviewer=ada, seen=NONE_YET)

    with pytest.raises(JudgedMeanwhile, match="ada was here meanwhile: rejected") as refused:
        record(row, verdict=Verdict.CONFIRMED, reviewer=ben, seen=NONE_YET)

    assert refused.value.review == theirs
    assert record(row, verdict=Verdict.CONFIRMED, reviewer=ben, seen=theirs.pk).reviewer == ben


@pytest.mark.django_db(transaction=True)
def test_of_two_verdicts_at_once_one_is_refused(row: Prediction, ada: User):
    refused = []

    def judge() -> None:
        try:
            record(row, verdict=Verdict.CONFIRMED, reviewer=ada, seen=NONE_YET)
        except Overtaken as overtaken:
            refused.append(overtaken)

    at_once(4, judge)

    assert (row.reviews.count(), len(refused)) == (1, 3)


def test_undone_first_verdict_leaves_it_unreviewed(row: Prediction, ada: User):
    review = record(row, verdict=Verdict.CONFIRMED, reviewer=ada)
    assert not Prediction.objects.unreviewed().exists()

    undo(review, reviewer=ada, seen=review.pk)

    assert Prediction.objects.unreviewed().get() == row
    assert not Review.objects.newest().exists()
    assert not Prediction.objects.reviewed().exists()
    assert describe(row)["review"] is None
    assert row.reviews.count() == 2


def test_undone_second_verdict_brings_the_first_back(row: Prediction, ada: User, ben: User):
    record(row, verdict=Verdict.CORRECTED, reviewer=ada, label=label("plum"))
    second = record(row, verdict=Verdict.REJECTED, reviewer=ben)

    undo(second, reviewer=ben, seen=second.pk)

    newest = Review.objects.newest().get()
    assert (newest.verdict, newest.label.key, newest.previous_label, newest.reviewer) == ("corrected", "plum", "", ben)


def test_undo_after_somebody_elses_verdict_is_refused(row: Prediction, ada: User, ben: User):
    mine = record(row, verdict=Verdict.CONFIRMED, reviewer=ada)
    theirs = record(row, verdict=Verdict.REJECTED, reviewer=ben)

    with pytest.raises(Overtaken):
        undo(mine, reviewer=ada, seen=mine.pk)

    assert Review.objects.newest().get() == theirs


def test_two_undos_go_back_two_steps(row: Prediction, ada: User):
    first = record(row, verdict=Verdict.CONFIRMED, reviewer=ada)
    second = record(row, verdict=Verdict.REJECTED, reviewer=ada)

    third = undo(second, reviewer=ada, seen=second.pk)
    undo(first, reviewer=ada, seen=third.pk)

    assert Prediction.objects.unreviewed().get() == row


def test_merged_label_counts_as_its_target(row: Prediction, ada: User):
    merge(label("banana"), label("plum"))

    assert record(row, verdict=Verdict.CONFIRMED, reviewer=ada).label == label("plum")
    assert record(row, verdict=Verdict.CORRECTED, reviewer=ada, label=label("banana")).label == label("plum")


def test_nothing_is_reviewed_into_a_retired_label(row: Prediction, ada: User):
    retire(label("banana"))

    for verdict in (Verdict.CONFIRMED, Verdict.CORRECTED):
        with pytest.raises(WrongLabel, match="is retired"):
            record(row, verdict=verdict, reviewer=ada, label=label("banana"))
    assert not row.reviews.exists()


def test_correction_without_a_label_is_refused(row: Prediction, ada: User):
    with pytest.raises(WrongLabel, match="needs a label"):
        record(row, verdict=Verdict.CORRECTED, reviewer=ada)


def test_erasure_buries_what_was_taken_back(row: Prediction, ada: User):
    review = record(row, verdict=Verdict.CORRECTED, reviewer=ada, label=label("plum"))
    undo(review, reviewer=ada, seen=review.pk)
    erase(row, erased_by="visitor")

    assert {(one.label, one.previous_label) for one in row.reviews.all()} == {(None, "")}
    with pytest.raises(NotAnswered):
        undo(review, reviewer=ada, seen=review.pk)


def claim(row: Prediction, key: str = "") -> Feedback:
    meant = label(key) if key else None
    return Feedback.objects.create(prediction=row, is_correct=not key, claimed_label=key, label=meant)


def test_claim_waits_until_a_verdict_follows(row: Prediction, ada: User):
    record(row, verdict=Verdict.CONFIRMED, reviewer=ada)
    said = claim(row, "plum")
    assert Feedback.objects.unsettled().get() == said

    review = approve(said, reviewer=ada)
    assert (review.verdict, review.label, review.via) == ("corrected", label("plum"), "claim")
    assert not Feedback.objects.unsettled().exists()


@pytest.mark.parametrize(("key", "verdict"), [("plum", "confirmed"), ("", "rejected")])
def test_refusing_a_claim_judges_against_it(row: Prediction, ada: User, key: str, verdict: str):
    review = refuse(claim(row, key), reviewer=ada)

    assert (review.verdict, review.via) == (verdict, "desk")
    assert not Feedback.objects.unsettled().exists()


def test_undone_approval_brings_the_claim_back(row: Prediction, ada: User):
    said = claim(row, "plum")
    review = approve(said, reviewer=ada)
    assert Feedback.objects.with_approval().get().is_approved

    undo(review, reviewer=ada, seen=review.pk)

    assert Feedback.objects.unsettled().get() == said
    assert not Feedback.objects.with_approval().get().is_approved
