"""Which promotion was in force when, from rows alone."""

from datetime import UTC, datetime, timedelta

import pytest

from recognizer.registry.models import ModelVersion, Promotion
from recognizer.registry.timeline import reign_at, reigns_of
from tests.registry_rows import registered_version

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def promoted(version: ModelVersion, at: datetime) -> Promotion:
    return Promotion.objects.create(
        model=version.model, version=version, kind=Promotion.Kind.FIRST, gate="-", created_at=at
    )


def test_newest_promotion_before_a_moment_was_in_force():
    first, second = registered_version("fruit"), registered_version("fruit", number=2)
    other = registered_version("birds")
    promoted(first, START)
    promoted(other, START + timedelta(hours=1))
    promoted(second, START + timedelta(days=1))
    model = first.model

    assert reign_at(model, START - timedelta(seconds=1)) is None
    assert reign_at(model, START).promotion.version == first
    assert reign_at(model, START + timedelta(hours=23)).until == START + timedelta(days=1)
    assert reign_at(model, START + timedelta(days=1)).promotion.version == second
    assert reign_at(model, START + timedelta(days=9)).until is None


def test_reigns_follow_each_other_without_a_gap():
    first, second = registered_version("fruit"), registered_version("fruit", number=2)
    for number, version in enumerate((first, second, first)):
        promoted(version, START + timedelta(days=number))

    reigns = reigns_of(first.model)

    assert [reign.promotion.version for reign in reigns] == [first, second, first]
    assert [reign.until for reign in reigns] == [None, reigns[0].since, reigns[1].since]
    assert [reign.covers(START + timedelta(days=1)) for reign in reigns] == [False, True, False]


def test_two_promotions_of_one_moment_leave_the_later_in_force():
    first, second = registered_version("fruit"), registered_version("fruit", number=2)
    promoted(first, START)
    promoted(second, START)

    assert reign_at(first.model, START).promotion.version == second
    assert [reign.covers(START) for reign in reigns_of(first.model)] == [True, False]
