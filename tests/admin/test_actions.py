"""What a reviewer does with chosen recognitions, and what one without the permission cannot."""

from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from recognizer.predictions.admin import actions
from recognizer.predictions.admin.recognitions import RecognitionAdmin
from recognizer.predictions.models import Erasure, Feedback, Prediction, Review
from recognizer.predictions.review import record, refuse
from recognizer.registry.models import Label
from tests.admin.rows import LIST, act, answered, failed, labelled_version, page_fields, pending, said, staff

pytestmark = pytest.mark.django_db
CLAIMS = "/admin/predictions/feedback/"
REVIEWER = ("predictions.view_prediction", "predictions.add_review")
VIEWER = ("predictions.view_prediction",)


def test_confirming_none_of_my_classes_confirms_no_label(client: Client) -> None:
    row = answered(labelled_version(), "banana", known=False)
    staff(client, *REVIEWER)

    act(client, "confirm", row)

    review = Review.objects.get()
    assert (review.verdict, review.label) == ("rejected", None)


def test_confirming_writes_a_review_and_says_what_was_skipped(client: Client) -> None:
    version = labelled_version()
    rows = [answered(version), answered(version, "apple"), pending(version.model)]
    user = staff(client, *REVIEWER)

    words = said(act(client, "confirm", *rows))

    assert words == [
        "2 recognitions confirmed.",
        "1 recognition skipped: Only an answered recognition can be reviewed.",
    ]
    review = Review.objects.get(prediction=rows[0])
    assert (review.verdict, review.label.key, review.reviewer, review.via) == ("confirmed", "banana", user, "admin")


def test_a_second_opinion_is_a_second_row(client: Client) -> None:
    row = answered(labelled_version())
    staff(client, *REVIEWER)
    act(client, "confirm", row)
    act(client, "reject", row, **seen_on(client))

    assert [review.verdict for review in row.reviews.all()] == ["rejected", "confirmed"]
    assert row.reviews.first().label is None


def seen_on(client: Client, address: str = LIST) -> dict[str, list[str]]:
    """The fields in which a page says what its reader saw."""
    return {name: values for name, values in page_fields(client, address).items() if name.startswith("seen")}


def judged_by_ann(row: Prediction) -> Review:
    ann, _ = User.objects.get_or_create(username="ann")
    return record(row, verdict=Review.Verdict.CONFIRMED, reviewer=ann)


@pytest.mark.parametrize("where", ["list", "page of one"])
@pytest.mark.parametrize("action", ["confirm", "correct", "reject"])
def test_a_row_judged_since_the_page_was_drawn_is_left_alone(client: Client, action: str, where: str) -> None:
    row = answered(labelled_version())
    staff(client, *REVIEWER)
    drawn = seen_on(client, LIST if where == "list" else f"{LIST}{row.pk}/change/")
    theirs = judged_by_ann(row)

    words = said(act(client, action, row, answered="yes", label=Label.objects.get(key="apple").pk, **drawn))

    assert words == ["1 recognition skipped: ann was here meanwhile: confirmed Banana. Look again before you decide."]
    assert row.reviews.get() == theirs


def test_of_many_only_those_judged_meanwhile_are_left_alone(client: Client) -> None:
    version = labelled_version()
    before, meanwhile, untouched = (answered(version) for _ in range(3))
    staff(client, *REVIEWER)
    judged_by_ann(before)
    drawn = seen_on(client)
    judged_by_ann(meanwhile)

    words = said(act(client, "reject", before, meanwhile, untouched, **drawn))

    assert words[0] == "2 recognitions rejected."
    assert words[1].startswith("1 recognition skipped: ann was here meanwhile")


def test_what_was_seen_passes_through_the_question(client: Client) -> None:
    row = answered(labelled_version())
    staff(client, *REVIEWER)
    known = judged_by_ann(row)
    asking = act(client, "correct", row, **seen_on(client)).content.decode()
    assert f'name="seen" value="{row.pk}:{known.pk}"' in asking

    fields = {"answered": "yes", "label": Label.objects.get(key="apple").pk, "seen": f"{row.pk}:{known.pk}"}

    assert said(act(client, "correct", row, **fields)) == ["1 recognition corrected to Apple."]
    assert said(act(client, "correct", row, **fields))[0].startswith("1 recognition skipped: reviewer was here")


def test_rows_beyond_the_page_are_known_as_of_its_drawing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecognitionAdmin, "list_per_page", 1)
    version = labelled_version()
    before, meanwhile, shown = (answered(version) for _ in range(3))
    staff(client, *REVIEWER)
    judged_by_ann(before)
    drawn = seen_on(client)
    assert drawn["seen"] == [f"{shown.pk}:0"]
    judged_by_ann(meanwhile)

    words = said(act(client, "reject", shown, select_across=1, **drawn))

    assert words[0] == "2 recognitions rejected."
    assert [review.verdict for review in meanwhile.reviews.all()] == ["confirmed"]


@pytest.mark.parametrize("forged", ["", "x", "x:1", "{row}:-1", "{row}:9" + "9" * 30, "\0"])
def test_a_form_that_says_nothing_has_seen_nothing(client: Client, forged: str) -> None:
    row = answered(labelled_version())
    staff(client, *REVIEWER)
    judged_by_ann(row)

    words = said(act(client, "reject", row, seen=forged.replace("{row}", str(row.pk)), seen_beyond=""))

    assert words[0].startswith("1 recognition skipped: ann was here meanwhile")


def test_correcting_asks_for_a_label_first(client: Client) -> None:
    row = answered(labelled_version())
    staff(client, *REVIEWER)

    page = act(client, "correct", row).content.decode()

    assert "Apple · 苹果 (apple)" in page
    assert not Review.objects.exists()


def test_correcting_writes_the_chosen_label(client: Client) -> None:
    row = answered(labelled_version())
    apple = Label.objects.get(key="apple")
    staff(client, *REVIEWER)

    assert said(act(client, "correct", row, answered="yes", label=apple.pk)) == ["1 recognition corrected to Apple."]
    review = Review.objects.get()
    assert (review.verdict, review.label, review.previous_label) == ("corrected", apple, "banana")


@pytest.mark.parametrize("action", ["confirm", "reject", "correct"])
def test_judging_on_its_own_page_leads_back_to_it(client: Client, action: str) -> None:
    row = answered(labelled_version())
    own_page = f"{LIST}{row.pk}/change/"
    staff(client, *REVIEWER)
    assert f'name="opened" value="{row.pk}"' in client.get(own_page).content.decode()

    if action == "correct":
        asked = act(client, action, row, opened=str(row.pk)).content.decode()
        assert f'name="opened" value="{row.pk}"' in asked
        assert f'href="{own_page}">Cancel' in " ".join(asked.split())
    apple = Label.objects.get(key="apple").pk
    page = act(client, action, row, answered="yes", label=apple, opened=str(row.pk))

    assert page.request["PATH_INFO"] == own_page
    assert said(page)[0].startswith("1 recognition ")


def test_correcting_to_another_models_label_is_refused(client: Client) -> None:
    row = answered(labelled_version())
    car = Label.objects.create(model=labelled_version("cars", "lorry").model, key="car", names={})
    staff(client, *REVIEWER)

    page = act(client, "correct", row, answered="yes", label=car.pk)

    assert "Select a valid choice" in page.content.decode()
    assert not Review.objects.exists()


def test_correcting_rows_of_two_models_is_refused(client: Client) -> None:
    rows = [answered(labelled_version()), answered(labelled_version("cars", "car"), "car")]
    staff(client, *REVIEWER)

    assert said(act(client, "correct", *rows)) == [
        "These are answers of cars and fruit. Choose those of one model: each has its own labels."
    ]


def test_too_many_rows_at_once_change_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    version = labelled_version()
    rows = [answered(version) for _ in range(3)]
    monkeypatch.setattr(actions, "MAX_AT_ONCE", 2)
    staff(client, *REVIEWER)

    assert "Choose at most 2" in said(act(client, "confirm", *rows))[0]
    assert not Review.objects.exists()


@pytest.mark.parametrize("action", ["confirm", "correct", "reject"])
def test_without_add_review_a_forged_post_writes_none(client: Client, action: str) -> None:
    row = answered(labelled_version())
    staff(client, *VIEWER, "predictions.change_prediction", "predictions.delete_prediction")

    act(client, action, row, answered="yes", label=Label.objects.get(key="apple").pk)

    assert not Review.objects.exists()


def test_without_change_a_forged_post_retries_none(client: Client) -> None:
    row = failed(labelled_version().model)
    staff(client, *REVIEWER)
    act(client, "retry", row)

    row.refresh_from_db()
    assert row.status == Prediction.Status.FAILED


def test_without_delete_a_forged_post_erases_none(client: Client) -> None:
    row = answered(labelled_version())
    staff(client, *REVIEWER, "predictions.change_prediction")
    act(client, "erase", row, answered="yes")

    assert not Erasure.objects.exists()


def test_without_view_a_forged_post_exports_nothing(client: Client) -> None:
    row = answered(labelled_version())
    staff(client, "predictions.add_review")

    assert act(client, "export", row).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_retrying_queues_all_and_rings_once(client: Client, broker: redis.Redis) -> None:
    version = labelled_version()
    rows = [failed(version.model), failed(version.model), answered(version)]
    staff(client, *VIEWER, "predictions.change_prediction")

    words = said(act(client, "retry", *rows))

    assert words == [
        "2 recognitions queued once more.",
        "1 recognition skipped: Only a failed recognition can be retried.",
    ]
    assert Prediction.objects.pending().count() == 2
    assert broker.llen("predict") == 1


def test_erasing_asks_then_leaves_a_tombstone(client: Client) -> None:
    version = labelled_version()
    row, running = answered(version), pending(version.model, status=Prediction.Status.RUNNING)
    user = staff(client, *VIEWER, "predictions.delete_prediction")

    assert "cannot be undone" in act(client, "erase", row).content.decode()
    assert not Erasure.objects.exists()

    words = said(act(client, "erase", row, running, answered="yes"))
    assert words[0] == "1 recognition erased."
    assert words[1].startswith("1 recognition skipped: The image is being recognised right now.")
    assert Erasure.objects.get().erased_by == f"user:{user.pk}"


def test_erasing_on_its_own_page_leads_to_the_tombstone(client: Client) -> None:
    row = answered(labelled_version())
    staff(client, *VIEWER, "predictions.delete_prediction")

    page = act(client, "erase", row, answered="yes", opened=str(row.pk))

    assert page.request["PATH_INFO"] == f"{LIST}{row.pk}/change/"
    assert said(page) == ["1 recognition erased."]


def approve(client: Client, *claims: Feedback, **seen: Any) -> Any:
    chosen = {"action": "approve", "_selected_action": [claim.pk for claim in claims], **seen}
    return client.post(CLAIMS, chosen, follow=True)


def test_approving_a_claim_makes_it_count(client: Client) -> None:
    row = answered(labelled_version())
    apple = Label.objects.get(key="apple")
    good = Feedback.objects.create(prediction=row, is_correct=False, claimed_label="Apple", label=apple)
    vague = Feedback.objects.create(prediction=row, is_correct=False, claimed_label="a thing")
    staff(client, "predictions.view_feedback", "predictions.add_review")

    words = said(approve(client, good, vague))

    assert words[0] == "1 recognition reviewed as claimed."
    assert "has no label 'a thing'" in words[1]
    review = Review.objects.get()
    assert (review.verdict, review.label, review.via) == ("corrected", apple, "claim")


def test_of_two_claims_about_one_answer_the_newest_counts(client: Client) -> None:
    row = answered(labelled_version("fruit", "apple", "banana", "cherry"))
    said_of_it = {"prediction": row, "is_correct": False}
    labels = Label.objects.filter(key__in=("apple", "cherry")).order_by("key")
    older, newer = (Feedback.objects.create(**said_of_it, claimed_label=one.key, label=one) for one in labels)
    staff(client, "predictions.view_feedback", "predictions.add_review")

    words = said(approve(client, older, newer))

    assert words == [
        "1 recognition reviewed as claimed.",
        "1 recognition skipped: A newer claim about the same picture was approved with it, and that one counts.",
    ]
    assert Review.objects.get().label == newer.label


def test_a_claim_judged_since_the_list_was_drawn_stays_so(client: Client) -> None:
    row = answered(labelled_version())
    claim = Feedback.objects.create(
        prediction=row, is_correct=False, claimed_label="Apple", label=Label.objects.get(key="apple")
    )
    staff(client, "predictions.view_feedback", "predictions.add_review")
    drawn = seen_on(client, CLAIMS)
    refuse(claim, reviewer=User.objects.create(username="ann"))

    words = said(approve(client, claim, **drawn))

    assert words == ["1 recognition skipped: ann was here meanwhile: confirmed Banana. Look again before you decide."]
    assert row.reviews.count() == 1
    assert ">confirmed<" in client.get(CLAIMS).content.decode()
    assert said(approve(client, claim, **seen_on(client, CLAIMS))) == ["1 recognition reviewed as claimed."]


def test_too_many_claims_at_once_change_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    row = answered(labelled_version())
    claims = [Feedback.objects.create(prediction=row, is_correct=True) for _ in range(3)]
    monkeypatch.setattr(actions, "MAX_AT_ONCE", 2)
    staff(client, "predictions.view_feedback", "predictions.add_review")

    assert "Choose at most 2" in said(approve(client, *claims))[0]
    assert not Review.objects.exists()


def test_list_of_claims_says_which_were_approved(client: Client) -> None:
    row, other = answered(labelled_version()), answered(labelled_version("cars", "banana"))
    apple = Label.objects.get(key="apple")
    wrong = Feedback.objects.create(prediction=row, is_correct=False, claimed_label="Apple", label=apple)
    right = Feedback.objects.create(prediction=other, is_correct=True)
    Feedback.objects.create(prediction=row, is_correct=True)
    staff(client, "predictions.view_feedback", "predictions.add_review")
    assert ">approved<" not in client.get(CLAIMS).content.decode()

    approve(client, wrong, right)

    assert set(Feedback.objects.with_approval().filter(is_approved=True)) == {wrong, right}
    assert client.get(CLAIMS).content.decode().count(">approved<") == 2


def test_list_of_claims_shows_no_verdict_that_was_taken_back(client: Client) -> None:
    row = answered(labelled_version())
    claim = Feedback.objects.create(prediction=row, is_correct=True)
    reviewer = staff(client, *REVIEWER, "predictions.view_feedback")
    refuse(claim, reviewer=reviewer)
    assert ">rejected<" in client.get(CLAIMS).content.decode()

    Review.objects.create(prediction=row, verdict=Review.Verdict.WITHDRAWN, reviewer=reviewer)

    assert ">withdrawn<" not in client.get(CLAIMS).content.decode()


def test_list_of_claims_takes_constant_queries(client: Client, django_assert_num_queries: Any) -> None:
    row = answered(labelled_version())
    staff(client, "predictions.view_feedback")
    Feedback.objects.create(prediction=row, is_correct=True)
    client.get(CLAIMS)
    with CaptureQueriesContext(connection) as few:
        client.get(CLAIMS)
    for _ in range(8):
        Feedback.objects.create(prediction=row, is_correct=True)

    with django_assert_num_queries(len(few)):
        client.get(CLAIMS)


def test_without_add_review_no_claim_is_approved(client: Client) -> None:
    claim = Feedback.objects.create(prediction=answered(labelled_version()), is_correct=True)
    staff(client, "predictions.view_feedback", "predictions.change_feedback")
    approve(client, claim)

    assert not Review.objects.exists()
