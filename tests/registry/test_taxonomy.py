"""Labels are added, merged and retired; no circle comes about, and nothing is deleted."""

import pytest

from recognizer.registry.models import Label
from recognizer.registry.taxonomy import (
    TaxonomyRefused,
    add_label,
    bring_back,
    current_label,
    merge,
    retire,
)
from tests.registry_rows import registered_version

pytestmark = pytest.mark.django_db


def labels(*keys: str, model_name: str = "fruit") -> list[Label]:
    model = registered_version(model_name).model
    return [add_label(model, english=key.title(), key=key) for key in keys]


@pytest.mark.parametrize(
    ("english", "chinese", "key"),
    [("Dragon fruit", "火龙果", "dragon_fruit"), ("", "火龙果", "火龙果"), ("Crème brûlée!", "", "crème_brûlée")],
)
def test_key_is_made_from_the_name(english: str, chinese: str, key: str):
    label = add_label(registered_version("fruit").model, english=english, chinese=chinese)

    given = {"en": english, "zh": chinese}
    assert (label.key, label.names) == (key, {language: name for language, name in given.items() if name})


def test_name_that_no_artifact_takes_is_refused():
    with pytest.raises(TaxonomyRefused, match="at most 100 printable characters"):
        add_label(registered_version("fruit").model, english="x" * 101, key="long")


@pytest.mark.parametrize(("english", "key"), [("  ", ""), ("?!", ""), ("Apple", "a b"), ("x" * 300, "x" * 101)])
def test_name_that_makes_no_key_is_refused(english: str, key: str):
    with pytest.raises(TaxonomyRefused, match="cannot be a label's key"):
        add_label(registered_version("fruit").model, english=english, key=key)

    assert not Label.objects.exists()


def test_second_label_of_a_key_is_refused():
    [apple] = labels("apple")

    with pytest.raises(TaxonomyRefused, match="fruit has a label 'apple' already"):
        add_label(apple.model, english="Apple")


def test_chain_of_merges_ends_at_its_last_label():
    gala, apple, pome = labels("gala", "apple", "pome")

    merge(gala, apple)
    merge(apple, pome)

    assert current_label(Label.objects.get(key="gala")) == pome
    assert current_label(pome) == pome


def test_merging_into_a_merged_label_goes_to_its_target():
    gala, apple, pome = labels("gala", "apple", "pome")
    merge(apple, pome)

    assert merge(gala, apple) == pome


def test_no_merge_makes_a_circle():
    gala, apple, pome = labels("gala", "apple", "pome")
    merge(gala, apple)
    merge(apple, pome)

    for one in (gala, apple, pome):
        with pytest.raises(TaxonomyRefused):
            merge(pome, one)
    assert Label.objects.get(key="pome").merged_into is None


def test_labels_of_two_models_do_not_merge():
    [apple], [lorry] = labels("apple"), labels("lorry", model_name="cars")

    with pytest.raises(TaxonomyRefused, match="labels of one model"):
        merge(apple, lorry)


def test_nothing_merges_into_a_retired_label():
    gala, apple = labels("gala", "apple")
    retire(apple)

    with pytest.raises(TaxonomyRefused, match="is retired"):
        merge(gala, apple)


def test_retired_label_comes_back():
    [apple] = labels("apple")

    assert (retire(apple), retire(apple)) == (True, False)
    assert not Label.objects.in_use().exists()
    assert (bring_back(apple), bring_back(apple)) == (True, False)
    assert Label.objects.in_use().get() == apple
