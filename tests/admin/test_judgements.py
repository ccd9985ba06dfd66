"""The page of a judgement: what it says, what it lets whom do, and that it stays fast."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from recognizer.predictions.erasure import erase
from recognizer.predictions.models import Prediction
from recognizer.registry.models import Judgement, Label, ModelVersion, Promotion, RegisteredModel
from recognizer.registry.promotion import promote
from recognizer.registry.rules import Limits
from recognizer.training.models import Judging
from tests.admin.rows import labelled_version, said, staff
from tests.recognition import add_version
from tests.registry_rows import promoted_version, registered_version
from tests.training.snapshot_rows import frozen, photo_bytes, reviewed, with_base_photos

pytestmark = pytest.mark.django_db
JUDGEMENTS, VERSIONS = "/admin/registry/judgement/", "/admin/registry/modelversion/"
VIEW = ("registry.view_judgement", "registry.view_modelversion", "registry.view_registeredmodel")
PROMOTE, FORCE = "registry.add_promotion", "registry.force_promotion"


def classes(*labels: str) -> list[dict[str, Any]]:
    return [
        {
            "label": label, "num_photos": 20, "candidate": 0.6, "serving": 1.0, "difference": -0.4,
            "interval": [-0.6, -0.2], "gained": 0, "lost": 8, "is_new": False, "is_forgotten": False,
        }
        for label in labels
    ]  # fmt: skip


def figures(*labels: str) -> dict[str, Any]:
    both = {"candidate": 0.1, "serving": 0.05}
    return {
        "num_photos": 100, "num_strangers": 3, "left_out": {"retired": 2},
        "accuracy": {
            "candidate": 0.8, "serving": 0.9, "difference": -0.1, "interval": [-0.2, -0.05], "gained": 1, "lost": 11,
            "p_value": 0.01,
        },
        "macro_recall": {**both, "difference": 0.05}, "ece": both, "false_alarms": both,
        "strangers_caught": {"candidate": None, "serving": 0.5},
        "latency_ms": {name: {"p50": 5.0, "p95": 7.0} for name in ("candidate", "serving")},
        "engines": dict.fromkeys(("candidate", "serving"), "openvino-cpu-float32"),
        "classes": classes(*labels), "forgotten": [],
        "confusion": {"labels": list(labels[:2]), "changes": [[-8, 8], [0, 1]][: len(labels[:2])], "num_classes": 2},
    }  # fmt: skip


def judged(
    model: RegisteredModel, *, passed: bool = False, labels: tuple[str, ...] = ("apple", "banana"), **rest: Any
) -> Judgement:
    """A judgement of version 2 against what serves, on the newest test part."""
    candidate = model.versions.filter(number=2).first() or registered_version(model.name, number=2)
    serving = model.desired_version()
    assert serving is not None
    outcome = "passed" if passed else "refused"
    rules = [
        {"rule": "accuracy", "outcome": "passed", "words": "Accuracy is fine.", "labels": []},
        {"rule": "classes", "outcome": outcome, "words": "{apple} falls.", "labels": ["apple"]},
    ]
    state = model.test_states.first() or model.test_states.create(number=1, content_sha256="0" * 64, num_photos=9)
    known = {"limits": vars(Limits()), "figures": figures(*labels), "rules": rules, "passed": passed}
    labels_sha256 = model.labels.all().state_sha256()
    known |= {"labels_sha256": labels_sha256, "test_state": state}
    return Judgement.objects.create(candidate=candidate, serving=serving, **{**known, **rest})


@pytest.fixture
def fruit() -> RegisteredModel:
    version = labelled_version("fruit")
    promote(version, by=None)
    return version.model


def page(client: Client, row: Judgement) -> str:
    response = client.get(f"{JUDGEMENTS}{row.pk}/change/")
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def post(client: Client, row: Judgement, **fields: Any) -> Any:
    return client.post(f"{JUDGEMENTS}{row.pk}/promote/", fields, follow=True)


def test_page_refuses_and_says_why(client: Client, fruit: RegisteredModel):
    staff(client, *VIEW, PROMOTE)

    text = page(client, judged(fruit))

    for words in (
        "Refuse fruit v2",
        "Apple falls.",
        "−60.0 to −20.0",
        "Left out: 2 photos of retired",
        "never",
    ):
        assert words in text
    assert '<td class="rz-number rz-heat-bad-3">−8</td>' in text
    assert '<button type="submit" class="rz-button rz-primary" disabled>Promote</button>' in text
    assert "Promote past the gate" not in text


def test_page_promotes_what_passed(client: Client, fruit: RegisteredModel):
    user = staff(client, *VIEW, PROMOTE)
    row = judged(fruit, passed=True)
    assert "Promote fruit v2" in page(client, row)

    response = post(client, row, reason="better light")

    assert said(response) == ["fruit v2 serves from now on. Workers follow within seconds."]
    promotion = Promotion.objects.first()
    assert (promotion.kind, promotion.judgement, promotion.promoted_by) == ("promotion", row, user)
    assert "Roll back to fruit v1" in page(client, row)


def test_refused_one_is_not_promoted_by_a_forged_form(client: Client, fruit: RegisteredModel):
    staff(client, *VIEW, PROMOTE)
    row = judged(fruit)

    assert "Apple falls." in said(post(client, row, reason="please"))[0]
    assert said(post(client, row, reason="please", force="yes"))[0].startswith("You may not force")
    assert fruit.desired_version().number == 1


def test_administrator_forces_with_a_reason(client: Client, fruit: RegisteredModel):
    staff(client, *VIEW, PROMOTE, FORCE)
    row = judged(fruit)
    assert "Promote past the gate" in page(client, row)

    assert "written reason" in said(post(client, row, force="yes", reason=" "))[0]
    post(client, row, force="yes", reason="a new class")

    assert Promotion.objects.first().kind == "forced"
    assert Promotion.objects.first().gate == "Overruled: {apple} falls."


@pytest.mark.parametrize("change", ["test part", "labels", "serving", "again"])
def test_outdated_judgement_says_so_and_promotes_nothing(client: Client, fruit: RegisteredModel, change: str):
    staff(client, *VIEW, PROMOTE, "registry.add_judgement")
    row = judged(fruit, passed=True)
    if change == "test part":
        fruit.test_states.create(number=2, content_sha256="1" * 64, num_photos=9)
    elif change == "labels":
        Label.objects.filter(key="apple").update(retired_at=now())
    elif change == "serving":
        promote(add_version(fruit, "f" * 64), by=None, force=True, reason="test")
    else:
        judged(fruit)

    text = page(client, row)
    post(client, row)

    assert "Judge fruit v2 again" in text
    assert "Judge again</button>" in text
    assert "disabled>Promote</button>" in text
    assert fruit.desired_version().number != 2


def test_who_may_only_look_gets_no_buttons_and_no_way_in(client: Client, fruit: RegisteredModel):
    staff(client, *VIEW)
    row = judged(fruit, passed=True)

    text = page(client, row)

    assert "Promote</button>" not in text
    assert "Judge again" not in text
    assert client.post(f"{JUDGEMENTS}{row.pk}/promote/").status_code == 403
    assert client.post(f"{JUDGEMENTS}ask/", {"version": row.candidate_id}).status_code == 403
    assert client.post(f"/admin/registry/registeredmodel/{fruit.pk}/roll-back/").status_code == 403
    assert client.post(f"{JUDGEMENTS}{row.pk}/change/", {"passed": "on"}).status_code == 403
    assert client.post(f"{JUDGEMENTS}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"{JUDGEMENTS}add/").status_code == 403


def test_promotion_right_alone_does_not_see_judgements(client: Client, fruit: RegisteredModel):
    staff(client, PROMOTE)
    row = judged(fruit, passed=True)

    assert client.get(f"{JUDGEMENTS}{row.pk}/change/").status_code == 403
    assert client.post(f"{JUDGEMENTS}{row.pk}/promote/").status_code == 403


def test_strangers_are_sent_to_sign_in(client: Client, fruit: RegisteredModel):
    row = judged(fruit, passed=True)

    for address in (f"{row.pk}/change/", f"{row.pk}/promote/", "ask/"):
        assert client.post(f"{JUDGEMENTS}{address}").status_code == 302
    assert fruit.desired_version().number == 1


@pytest.mark.parametrize("version", ["", "x", "999999", "-1", "9" * 40, "²"])
def test_forged_versions_are_not_found(client: Client, version: str):
    staff(client, "registry.add_judgement")

    assert client.post(f"{JUDGEMENTS}ask/", {"version": version}).status_code == 404
    assert client.post(f"{JUDGEMENTS}999999/promote/").status_code == 403
    assert not Judging.objects.exists()


def test_nothing_happens_by_a_link(client: Client, fruit: RegisteredModel):
    staff(client, *VIEW, PROMOTE, "registry.add_judgement")
    row = judged(fruit, passed=True)

    for address in (
        f"{JUDGEMENTS}{row.pk}/promote/",
        f"{JUDGEMENTS}ask/",
        f"/admin/registry/registeredmodel/{fruit.pk}/roll-back/",
    ):
        assert client.get(address).status_code == 405


def test_forms_of_other_sites_are_refused(fruit: RegisteredModel):
    client = Client(enforce_csrf_checks=True)
    staff(client, *VIEW, PROMOTE)
    row = judged(fruit, passed=True)

    assert client.post(f"{JUDGEMENTS}{row.pk}/promote/").status_code == 403
    assert fruit.desired_version().number == 1


def test_button_asks_a_worker_and_shows_how_it_goes(client: Client, fruit: RegisteredModel):
    user = staff(client, *VIEW, "registry.add_judgement", "training.view_judging")
    candidate = registered_version("fruit", number=2)
    assert "Judge against what serves" in client.get(f"{VERSIONS}{candidate.pk}/change/").content.decode()

    waiting = client.post(f"{JUDGEMENTS}ask/", {"version": candidate.pk}, follow=True).content.decode()

    judging = Judging.objects.get()
    assert (judging.candidate, judging.created_by) == (candidate, user)
    assert "It waits for a worker." in waiting
    assert "data-waiting" in waiting
    row = judged(fruit)
    Judging.objects.update(status="ready", judgement=row)
    done = client.get(f"/admin/training/judging/{judging.pk}/change/")
    assert done.headers["Location"] == f"{JUDGEMENTS}{row.pk}/change/"
    assert f"{JUDGEMENTS}{row.pk}/change/" in client.get(f"{VERSIONS}{candidate.pk}/change/").content.decode()
    assert "points" in client.get(JUDGEMENTS).content.decode()


def test_failed_judging_says_why(client: Client):
    staff(client, "training.view_judging")
    judging = Judging.objects.create(candidate=registered_version("fruit"), status="failed", error="Too bad.")

    text = client.get(f"/admin/training/judging/{judging.pk}/change/").content.decode()

    assert "Too bad." in text
    assert "data-waiting" not in text


def test_one_click_rolls_back(client: Client, fruit: RegisteredModel):
    user = staff(client, *VIEW, PROMOTE)
    row = judged(fruit, passed=True)
    post(client, row)
    address = f"/admin/registry/registeredmodel/{fruit.pk}/"
    assert "Roll back to fruit v1" in client.get(f"{address}change/").content.decode()

    response = client.post(f"{address}roll-back/", follow=True)

    assert said(response) == ["fruit v1 serves fruit again."]
    assert (Promotion.objects.first().kind, Promotion.objects.first().promoted_by) == ("rollback", user)
    assert said(client.post(f"{address}roll-back/", follow=True)) == ["No version of fruit served before fruit v1."]


def test_way_back_is_offered_to_who_may_look_at_the_model(client: Client, fruit: RegisteredModel):
    row = judged(fruit, passed=True)
    promote(row.candidate, by=None)
    staff(client, *VIEW[:2], PROMOTE)

    assert "Roll back to" not in client.get(f"{JUDGEMENTS}{row.pk}/change/").content.decode()
    assert client.post(f"/admin/registry/registeredmodel/{fruit.pk}/roll-back/").status_code == 403


def test_names_are_shown_as_text(client: Client, fruit: RegisteredModel):
    staff(client, *VIEW)
    Label.objects.filter(key="apple").update(names={"en": "<script>alert(1)</script>"})
    row = judged(fruit, rules=[{"rule": "<b>x</b>", "outcome": "refused", "words": "<img src=x>", "labels": []}])

    text = page(client, row)

    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert "<b>x</b>" not in text


def test_flipped_photos_are_seen_by_those_who_may(client: Client, fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=2)
    upload = reviewed(photo_bytes(5000))
    snapshot = frozen(fruit_rows)
    items = [snapshot.items.filter(source=source).first() for source in ("base", "review")]
    flipped = [
        {"item": item.pk, "label": "apple", "before": before, "before_score": 0.9, "after": after, "after_score": 0.8}
        for item, before, after in zip(items, ("apple", "banana"), ("banana", "apple"), strict=True)
    ]
    row = judged(fruit_rows, flipped=flipped)
    user = staff(client, *VIEW, "training.view_datasetsnapshot")
    addresses = [f"/admin/training/datasetsnapshot/items/{item.pk}/thumbnail/" for item in items]

    assert [address in page(client, row) for address in addresses] == [True, False]
    user.is_superuser = True
    user.save()
    text = page(client, row)
    assert all(address in text for address in addresses)
    assert (
        'alt="Apple: before Apple 0.90, now 香蕉 0.80"' in text
        or 'alt="Apple: before Apple 0.90, now Banana 0.80"' in text
    )
    erase(Prediction.objects.get(pk=upload.pk), erased_by="test")
    assert addresses[1] not in page(client, row)
    row.refresh_from_db()
    assert row.flipped == flipped[:1]


def test_page_of_a_thousand_classes_stays_small_and_fast(client: Client):
    labels = tuple(f"class-{number:04}" for number in range(1000))
    version: ModelVersion = promoted_version("imagenet")
    Label.objects.bulk_create(Label(model=version.model, key=key) for key in labels)
    staff(client, *VIEW, PROMOTE)
    page(client, judged(version.model, labels=labels[:2]))

    counts = []
    for count in (2, 1000):
        row = judged(version.model, labels=labels[:count])
        with CaptureQueriesContext(connection) as queries:
            text = page(client, row)
        counts.append(len(queries))

    assert counts[0] == counts[1]
    assert "The greatest losses and gains of 1,000 classes." in text


def test_names_follow_the_readers_language(client: Client, fruit: RegisteredModel):
    falls = {"rule": "classes", "outcome": "refused", "words": "{apple} falls, {plum} not.", "labels": ["apple"]}
    row = judged(fruit, rules=[falls])
    staff(client, *VIEW)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "zh-CN"

    shown = client.get(f"{JUDGEMENTS}{row.pk}/change/").content.decode()

    assert "香蕉" in shown
    assert shown.count("苹果 falls, plum not.") == 2  # the rule, and why it is refused


def test_a_reason_that_no_database_keeps_is_refused(client: Client, fruit: RegisteredModel):
    row = judged(fruit)
    staff(client, *VIEW, PROMOTE, FORCE)
    before = Promotion.objects.count()

    answer = client.post(f"{JUDGEMENTS}{row.pk}/promote/", {"reason": "so\0so", "force": "on"}, follow=True)

    assert said(answer) == ["The reason cannot be kept. Null characters are not allowed."]
    assert Promotion.objects.count() == before
