"""One recognition: read, judge, retry, erase."""

import uuid

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from recognizer.predictions import review
from recognizer.predictions.models import Erasure, Feedback, Prediction, Review
from recognizer.registry.models import Label, RegisteredModel
from tests.pages.forms import answered, send, words
from tests.recognition import picture, undecodable, work

pytestmark = pytest.mark.django_db
ACTIONS = [("get", ""), ("post", "retry/"), ("post", "erase/"), ("post", "feedback/")]


@pytest.fixture
def mine(client: Client, fruit: RegisteredModel) -> Prediction:
    """An answered recognition of this client's visitor."""
    return answered(client)


@pytest.fixture
def failed(client: Client, fruit: RegisteredModel) -> Prediction:
    row = answered(client, undecodable())
    Prediction.objects.update(error_code="model_failed")
    return row


def page(prediction: Prediction, action: str = "") -> str:
    return f"/predictions/{prediction.pk}/{action}"


def test_page_says_all_about_the_answer(client: Client, mine: Prediction):
    text = words(client.get(page(mine)))

    best = Label.objects.get(key=mine.label).name
    assert f'<h1 class="answer">{best}</h1>' in text or "None of my classes" in text
    assert f"{mine.score:.1%}" in text
    for said in (
        "0.jpg",
        "80 × 60 JPEG",
        "fruit v1",
        "mobilenetv3_small_050",
        mine.engine,
        mine.precision,
        "recognising",
    ):
        assert said in text
    assert text.count('class="bar"') == 5


def test_unknown_is_said_in_words(client: Client, mine: Prediction):
    Prediction.objects.update(known=False)

    text = words(client.get(page(mine)))

    assert "<title> None of my classes · Recognizer</title>" in text
    assert '<h1 class="answer">None of my classes</h1>' in text


def test_numbers_in_drawings_ignore_the_language(client: Client, mine: Prediction):
    chinese = words(client.get(page(mine), headers={"Accept-Language": "zh-hans"}))

    assert f'width="{mine.score * 100:.2f}"' in chinese


@pytest.mark.parametrize(("method", "action"), ACTIONS)
def test_not_yours_looks_like_missing(mine: Prediction, method: str, action: str):
    stranger, html = Client(), {"Accept": "text/html"}

    theirs = getattr(stranger, method)(page(mine, action), headers=html)
    missing = getattr(stranger, method)(f"/predictions/{uuid.uuid4()}/{action}", headers=html)

    assert theirs.status_code == missing.status_code == 404
    assert words(theirs) == words(missing)
    assert Prediction.objects.get().status == mine.status
    assert not Feedback.objects.exists()


@pytest.mark.parametrize("action", ["retry/", "erase/", "feedback/"])
def test_looking_changes_nothing(client: Client, mine: Prediction, action: str):
    assert client.get(page(mine, action)).status_code == 405


def test_malformed_id_is_not_found(client: Client, db: None):
    assert client.get("/predictions/1/").status_code == 404


def test_waiting_page_looks_again_by_itself(client: Client, fruit: RegisteredModel):
    address = send(client, picture()).url

    before = words(client.get(address))
    work()
    after = words(client.get(address))

    assert '<meta http-equiv="refresh" content="2">' in before
    assert "In the queue" in before
    assert "refresh" not in after
    assert "pending.js" not in after


def test_failed_page_says_why_and_offers_a_retry(client: Client, failed: Prediction):
    text = words(client.get(page(failed)))

    assert failed.error_detail.split(".")[0][:30] in text
    assert page(failed, "retry/") in text
    assert "thumbnail" not in text


def test_file_that_is_cut_off_is_not_offered_again(client: Client, fruit: RegisteredModel):
    row = answered(client, undecodable())
    text = words(client.get(page(row)))

    assert row.error_code == "undecodable"
    assert "Try again" not in text
    assert "Send another photo" in text


def test_retry_queues_a_failed_one_once(client: Client, failed: Prediction):
    first = client.post(page(failed, "retry/"), follow=True)
    second = client.post(page(failed, "retry/"), follow=True)

    assert "in the queue again" in words(first)
    assert "has not failed" in words(second)
    assert Prediction.objects.get().status == "pending"


def test_erasing_leaves_a_tombstone(client: Client, mine: Prediction):
    reply = client.post(page(mine, "erase/"), follow=True)

    assert "is erased" in words(reply)
    assert Prediction.objects.get().status == "erased"
    assert Erasure.objects.get().erased_by == "visitor"
    assert client.get(page(mine)).status_code == 404
    assert client.post(page(mine, "erase/")).status_code == 404


def test_reviewer_sees_that_it_was_erased(client: Client, mine: Prediction, admin_client: Client):
    client.post(page(mine, "erase/"))

    reply = admin_client.get(page(mine))

    assert reply.status_code == 410
    assert "was erased" in words(reply)


def test_erasing_waits_for_a_running_one(client: Client, mine: Prediction):
    Prediction.objects.update(status="running")

    reply = client.post(page(mine, "erase/"), follow=True)

    assert "being recognised right now" in words(reply)
    assert Prediction.objects.get().status == "running"


def test_right_is_kept_as_a_claim(client: Client, mine: Prediction):
    reply = client.post(page(mine, "feedback/"), {"correct": "1"}, follow=True)

    claim = Feedback.objects.get()
    assert claim.is_correct
    assert claim.visitor == mine.visitor
    assert "You said: this is right" in words(reply)


@pytest.mark.parametrize("said", ["Kiwi", "kiwi", "猕猴桃", " KIWI "])
def test_wrong_finds_the_label_that_is_meant(client: Client, mine: Prediction, said: str):
    reply = client.post(page(mine, "feedback/"), {"claimed_label": said}, follow=True)

    claim = Feedback.objects.get()
    assert claim.label is not None
    assert (claim.is_correct, claim.label.key) == (False, "kiwi")
    assert "You said: it is Kiwi" in words(reply)


def test_wrong_in_other_words_is_kept_as_written(client: Client, mine: Prediction):
    reply = client.post(page(mine, "feedback/"), {"claimed_label": "<i>pebble</i>"}, follow=True)

    assert Feedback.objects.get().claimed_label == "<i>pebble</i>"
    assert "You said: it is &lt;i&gt;pebble&lt;/i&gt;" in words(reply)


@pytest.mark.parametrize("said", ["", "   ", "x" * 101])
def test_wrong_without_usable_words_is_said_at_the_field(client: Client, mine: Prediction, said: str):
    reply = client.post(page(mine, "feedback/"), {"claimed_label": said})

    assert reply.status_code == 400
    assert "errorlist" in words(reply)
    assert not Feedback.objects.exists()


def test_judging_before_the_answer_is_refused(client: Client, fruit: RegisteredModel):
    address = send(client, picture()).url

    reply = client.post(f"{address}feedback/", {"correct": "1"}, follow=True)

    assert "no answer to judge yet" in words(reply)
    assert not Feedback.objects.exists()


def test_names_to_choose_leave_out_retired_ones(client: Client, mine: Prediction):
    Label.objects.filter(key="pear").update(retired_at=mine.created_at)

    text = words(client.get(page(mine)))

    assert '<option value="Kiwi">' in text
    assert '<option value="Pear">' not in text


def test_review_is_shown_to_the_owner(client: Client, mine: Prediction, admin_user: User):
    lemon = Label.objects.get(key="lemon")
    review.record(mine, verdict=Review.Verdict.CORRECTED, reviewer=admin_user, label=lemon)

    assert "A reviewer says: it is Lemon" in words(client.get(page(mine)))


def test_reviewer_is_offered_only_what_is_allowed(client: Client, mine: Prediction, django_user_model: type[User]):
    client.post(page(mine, "feedback/"), {"correct": "1"})
    reviewer = django_user_model.objects.create_user("rosa", is_staff=True)
    reviewer.user_permissions.add(Permission.objects.get(codename="view_prediction"))
    client.force_login(reviewer)

    text = words(client.get(page(mine)))

    assert "Somebody said: this is right" in text
    assert page(mine, "erase/") not in text
    assert client.post(page(mine, "erase/")).status_code == 404


def test_each_claim_says_who_made_it(client: Client, mine: Prediction, admin_client: Client):
    claimed = {"claimed_label": "kiwi"}
    client.post(f"/predictions/{mine.pk}/feedback/", claimed)
    admin_client.post(f"/predictions/{mine.pk}/feedback/", {"correct": "1"})

    to_owner = words(client.get(f"/predictions/{mine.pk}/"))
    to_staff = words(admin_client.get(f"/predictions/{mine.pk}/"))

    assert "You said: it is" in to_owner
    assert "Somebody said: this is right" in to_owner
    assert "Somebody said: it is" in to_staff
    assert "You said: this is right" in to_staff


def test_staff_see_the_name_of_who_said_it(
    fruit: RegisteredModel, admin_client: Client, django_user_model: type[User], client: Client
):
    client.force_login(django_user_model.objects.create_user("anna"))
    row = answered(client)
    client.post(f"/predictions/{row.pk}/feedback/", {"correct": "1"})

    assert "anna said: this is right" in words(admin_client.get(f"/predictions/{row.pk}/"))
    assert "You said: this is right" in words(client.get(f"/predictions/{row.pk}/"))


def test_twenty_claims_are_enough(client: Client, mine: Prediction, admin_client: Client):
    for _ in range(21):
        reply = client.post(f"/predictions/{mine.pk}/feedback/", {"correct": "1"}, follow=True)

    assert "You have judged this answer 20 times" in words(reply)
    assert mine.feedback.count() == 20
    refused = client.post(f"/api/predictions/{mine.pk}/feedback/", {"correct": True}, content_type="application/json")
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:recognizer:problem:too-many-claims"
    admin_client.post(f"/predictions/{mine.pk}/feedback/", {"correct": "1"})  # somebody else
    assert mine.feedback.count() == 21
