"""The names of a registered model's classes: added, merged, retired, and never deleted, since old answers name them."""

import re
from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from recognizer.registry.models import Label, RegisteredModel
from recognizer.registry.sentences import keys_in, with_names

MAX_NAME = 100  # characters of a display name, as in an artifact
MAX_STEPS = 100  # of a chain of merges; a longer one cannot come about, as each merge goes to the end of the chain
TAKEN = "{} has a label {!r} already. Choose that one."


class TaxonomyRefused(ValueError):
    """The labels would contradict each other, in words."""


def new_label(model: RegisteredModel, *, english: str, chinese: str = "", key: str = "") -> Label:
    """A label that can be saved. Raises TaxonomyRefused.

    Without a key one is made from the English name: `Dragon fruit` becomes `dragon_fruit`.
    """
    english, chinese = english.strip(), chinese.strip()
    names = without_empty({"en": english, "zh": chinese})
    label = Label(model=model, key=key.strip() or key_of(english or chinese), names=names)
    try:
        label.clean_fields()
    except ValidationError as error:
        raise TaxonomyRefused(f"{label.key!r} cannot be a label's key. {' '.join(error.messages)}") from error
    if names != fitting(names):
        raise TaxonomyRefused(f"A name has at most {MAX_NAME} printable characters. Choose a shorter one.")
    if model.labels.filter(key=label.key).exists():
        raise TaxonomyRefused(TAKEN.format(model.name, label.key))
    return label


def add_label(model: RegisteredModel, *, english: str, chinese: str = "", key: str = "") -> Label:
    """A new class of this model. Its versions know it once they are trained with it. Raises TaxonomyRefused."""
    label = new_label(model, english=english, chinese=chinese, key=key)
    try:
        with transaction.atomic():
            label.save(force_insert=True)
    except IntegrityError as error:  # the same name was added beside us
        raise TaxonomyRefused(TAKEN.format(model.name, label.key)) from error
    return label


def display_names(model: RegisteredModel) -> dict[str, str]:
    """The names of all labels in the reader's language, by key."""
    return {label.key: label.name for label in model.labels.all()}


def without_empty(names: Mapping[str, str]) -> dict[str, str]:
    """Names by language without those that say nothing, which an artifact refuses."""
    return {language: name.strip() for language, name in names.items() if name.strip()}


def fitting(names: Mapping[str, str]) -> dict[str, str]:
    """What an artifact takes of these names: cut at its length, and without what cannot be printed."""
    printable = {language: "".join(filter(str.isprintable, name)) for language, name in names.items()}
    return without_empty({language: name.strip()[:MAX_NAME] for language, name in printable.items()})


def with_label_names(words: str, model: RegisteredModel) -> str:
    """A stored sentence about this model, with the names of its labels in the reader's language.

    For many sentences prefetch the labels of the models: else each one reads them anew.
    """
    keys = set(keys_in(words))
    return with_names(words, {one.key: one.name for one in model.labels.all() if one.key in keys}) if keys else words


def key_of(name: str) -> str:
    """A key made from a display name."""
    return re.sub(r"[^\w.\-]+", "_", name.casefold()).strip("_")[:100]


def merge(label: Label, into: Label) -> Label:
    """Let this label count as another one from now on, old reviews included. Returns where it ended up.

    A label that was merged itself passes on to the end of its chain, so that no circle comes about.
    Raises TaxonomyRefused.
    """
    with transaction.atomic():
        RegisteredModel.objects.select_for_update().get(pk=label.model_id)  # one change of a taxonomy at a time
        label, target = Label.objects.get(pk=label.pk), current_label(Label.objects.get(pk=into.pk))
        _check_merge(label, target)
        label.merged_into = target
        label.save(update_fields=["merged_into"])
    return target


def merged_labels(model: RegisteredModel) -> dict[str, str]:
    """The key that counts, by that of each label that was merged."""
    merged = model.labels.exclude(merged_into=None).select_related("merged_into")
    return {label.key: current_label(label).key for label in merged}


def _check_merge(label: Label, target: Label) -> None:
    if label.model_id != target.model_id:
        raise TaxonomyRefused("Only labels of one model can be merged. Choose a label of the same model.")
    if label.pk == target.pk:
        raise TaxonomyRefused(f"{label.key!r} is where this ends up already. Choose another label.")
    if label.merged_into_id:
        raise TaxonomyRefused(f"{label.key!r} is merged into another label already.")
    if target.retired_at:
        raise TaxonomyRefused(f"{target.key!r} is retired. Bring it back first, or choose another label.")


def retire(label: Label) -> bool:
    """Nothing is reviewed into this label any more; what was stays. False when it was retired already."""
    return Label.objects.filter(pk=label.pk, retired_at=None).update(retired_at=now()) == 1


def bring_back(label: Label) -> bool:
    """Let a retired label be used again. False when it was not retired."""
    return Label.objects.filter(pk=label.pk).exclude(retired_at=None).update(retired_at=None) == 1


def current_label(label: Label) -> Label:
    """The label that counts: where the merges of this one lead to, itself where there are none."""
    for _ in range(MAX_STEPS):
        if label.merged_into is None:
            break
        label = label.merged_into
    return label
