"""A model's classes in the admin: who may add, merge and retire them, and what is said."""

import pytest
from django.test import Client

from recognizer.registry.models import Label
from tests.admin.rows import labelled_version, said, staff

pytestmark = pytest.mark.django_db
LABELS = "/admin/registry/label/"
EDITOR = ("registry.view_label", "registry.change_label")


def act(client: Client, action: str, *keys: str, **fields: object):
    chosen = list(Label.objects.filter(key__in=keys).values_list("pk", flat=True))
    return client.post(LABELS, {"action": action, "_selected_action": chosen, "index": 0, **fields}, follow=True)


def test_new_class_is_added_with_both_names(client: Client) -> None:
    model = labelled_version().model
    staff(client, "registry.view_label", "registry.add_label")
    assert "Name in Chinese" in client.get(f"{LABELS}add/").content.decode()

    client.post(f"{LABELS}add/", {"model": model.pk, "english": "Dragon fruit", "chinese": "火龙果", "key": ""})

    label = Label.objects.get(key="dragon_fruit")
    assert (label.model, label.names) == (model, {"en": "Dragon fruit", "zh": "火龙果"})


def test_emptied_name_is_kept_no_more(admin_client: Client) -> None:
    labelled_version()
    banana = Label.objects.get(key="banana")

    admin_client.post(f"{LABELS}{banana.pk}/change/", {"english": "Banana", "chinese": " "})

    banana.refresh_from_db()
    assert banana.names == {"en": "Banana"}


def test_taken_key_is_said_on_the_form(admin_client: Client) -> None:
    model = labelled_version().model

    page = admin_client.post(f"{LABELS}add/", {"model": model.pk, "english": "Banana"})

    assert "fruit has a label &#x27;banana&#x27; already" in page.content.decode()
    assert "cannot be null" not in page.content.decode()
    assert Label.objects.count() == 2


def test_without_add_label_nothing_is_added(client: Client) -> None:
    model = labelled_version().model
    staff(client, *EDITOR)

    assert client.post(f"{LABELS}add/", {"model": model.pk, "english": "Plum"}).status_code == 403
    assert Label.objects.count() == 2


def test_merging_asks_for_the_target_first(client: Client) -> None:
    labelled_version("fruit", "gala", "apple")
    labelled_version("cars", "lorry")
    staff(client, *EDITOR)

    page = act(client, "merge", "gala").content.decode()
    assert "Apple · 苹果 (apple)" in page
    assert "This cannot be undone." in page
    assert "lorry" not in page.split("Merge into")[-1]

    words = said(act(client, "merge", "gala", answered="yes", into=Label.objects.get(key="apple").pk))
    assert words == ["Gala counts as Apple now."]
    assert Label.objects.get(key="gala").merged_into.key == "apple"


def test_label_of_another_model_is_no_target(client: Client) -> None:
    labelled_version("fruit", "gala", "apple")
    labelled_version("cars", "lorry")
    staff(client, *EDITOR)

    act(client, "merge", "gala", answered="yes", into=Label.objects.get(key="lorry").pk)

    assert not Label.objects.exclude(merged_into=None).exists()


def test_retired_label_comes_back_and_both_are_said(client: Client) -> None:
    labelled_version()
    staff(client, *EDITOR)

    assert said(act(client, "retire", "apple", "banana")) == ["2 labels retired."]
    assert said(act(client, "bring_back", "apple")) == ["1 label brought back."]
    assert list(Label.objects.in_use()) == [Label.objects.get(key="apple")]


@pytest.mark.parametrize("action", ["merge", "retire"])
def test_without_change_label_a_forged_post_does_nothing(client: Client, action: str) -> None:
    labelled_version()
    staff(client, "registry.view_label", "registry.add_label")

    act(client, action, "banana", answered="yes", into=Label.objects.get(key="apple").pk)

    assert Label.objects.in_use().count() == 2
