"""The order of the desk's queue, from values alone."""

import uuid

import pytest

from recognizer.predictions.desk import Candidate, Order, by_usefulness, next_tiles, tiles_of
from recognizer.predictions.models import Prediction
from tests.admin.rows import answered, labelled_version


def one(*scores: float, label: str = "banana", look: str = "", **more: object) -> Candidate:
    pairs = [("banana", score) for score in scores]
    return Candidate(uuid.uuid4(), label, more.pop("known", True), pairs, look or uuid.uuid4().hex, **more)


def test_small_margins_come_before_large_ones():
    close, middle, clear = one(0.5, 0.48), one(0.6, 0.3), one(0.99, 0.01)

    assert by_usefulness([clear, close, middle]) == [close, middle, clear]


def test_low_score_with_a_clear_lead_is_less_useful_than_a_tie():
    assert by_usefulness([one(0.4, 0.01), one(0.45, 0.44)])[0].scores[0][1] == 0.45


def test_sure_stranger_comes_before_an_unsure_one():
    sure, unsure = one(0.9, 0.1, known=False), one(0.6, 0.4 - 0.2, known=False)
    known = one(0.9, 0.1)

    assert by_usefulness([known, sure]) == [sure, known]
    assert unsure.usefulness > known.usefulness


def test_objection_of_a_user_comes_before_a_tie():
    tie, disputed = one(0.5, 0.5), one(0.9, 0.05, is_disputed=True)

    assert by_usefulness([tie, disputed]) == [disputed, tie]


def test_answer_without_scores_can_be_ordered():
    assert one().usefulness == 1.0


def test_group_is_one_tile_where_its_most_useful_member_stands():
    first, other, last = one(0.5, 0.4, look="a"), one(0.7, 0.2), one(0.99, 0.01, look="a")

    tiles = tiles_of(by_usefulness([last, other, first]))

    assert [tile.members for tile in tiles] == [[first.pk, last.pk], [other.pk]]


@pytest.mark.parametrize("other", [{"label": "apple"}, {"known": False}])
def test_alike_pictures_with_other_answers_are_tiles_of_their_own(other: dict[str, object]):
    assert len(tiles_of([one(0.5, look="a"), one(0.5, look="a", **other)])) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("order", Order)
def test_window_bounds_every_order(order: Order, monkeypatch: pytest.MonkeyPatch):
    version = labelled_version()
    rows = [answered(version, score=0.9 - number / 100) for number in range(5)]
    monkeypatch.setattr("recognizer.predictions.desk.WINDOW", 3)

    [tile] = next_tiles(Prediction.objects.unreviewed(), order, offset=0, size=9)  # one picture, one answer

    assert len(tile.members) == 3
    assert set(tile.members) <= {row.pk for row in rows}
