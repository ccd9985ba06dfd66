"""In whatever order things happen to predictions: each has at most one result, and ends."""

import uuid
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.utils.timezone import now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from recognizer.predictions import tasks
from recognizer.predictions.erasure import StillRunning, erase
from recognizer.predictions.intake import KeyReused, PredictOptions, Upload, submit
from recognizer.predictions.models import Blob, Erasure, Owner, Prediction, UploadedImage
from recognizer.registry import serving
from recognizer.registry.models import ModelVersion, Promotion
from recognizer.registry.promotion import PromotionRefused, promote
from tests.recognition import blob_files, picture, undecodable

pytestmark = pytest.mark.django_db
Status = Prediction.Status
OWNERS = [Owner(visitor=uuid.UUID(int=number)) for number in (1, 2)]
IMAGES = [picture(0), picture(1), undecodable()]
KEYS = ["", "monday", "tuesday"]
QUICK = settings(
    max_examples=20, stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


class Lives(RuleBasedStateMachine):
    """Uploads, and all that workers, clocks, visitors and administrators do to them; only real functions are called.

    A claim that no rule finishes is a worker that was killed; one that is finished after its lease is one that hung.
    """

    uploads = Bundle("uploads")
    claims = Bundle("claims")

    def __init__(self, versions: list[ModelVersion]) -> None:
        super().__init__()
        self.versions = versions
        self.claimed: Counter[tuple[uuid.UUID, int]] = Counter()
        self.ends: dict[uuid.UUID, tuple[object, ...]] = {}  # what every ended row says, since it said so first

    @initialize(target=uploads, number=st.integers(2, 4))
    def begin(self, number: int):
        return multiple(*(self.upload(raw=IMAGES[n % 3], owner=OWNERS[n % 2], key="") for n in range(number)))

    @rule(target=uploads, raw=st.sampled_from(IMAGES), owner=st.sampled_from(OWNERS), key=st.sampled_from(KEYS))
    def upload(self, raw: bytes, owner: Owner, key: str):
        options = PredictOptions("fruit", idempotency_key=key)
        try:
            return submit(Upload(raw, "a.jpg"), owner=owner, options=options).prediction.pk
        except KeyReused:
            return multiple()

    @rule(target=claims, alone=st.booleans())
    def claim_some(self, alone: bool):
        return multiple(*self.claim(3, alone=alone))

    def claim(self, limit: int, *, alone: bool) -> list[Prediction]:
        rows = Prediction.objects.claim(limit=limit, lease=tasks.LEASE, alone=alone)
        self.claimed.update((row.pk, row.attempts) for row in rows)
        return rows

    @rule(row=consumes(claims))
    def answer(self, row: Prediction):
        is_mine = self.is_held_by(row)
        # The score says which attempt wrote it.
        assert row.succeed(scores=[("apple", row.attempts / 100)], version=self.versions[0]) == is_mine

    @rule(row=consumes(claims))
    def give_up(self, row: Prediction):
        is_mine = self.is_held_by(row)
        assert row.fail("model_failed", f"in attempt {row.attempts}") == is_mine

    def is_held_by(self, claimed: Prediction) -> bool:
        row = Prediction.objects.get(pk=claimed.pk)
        return row.status == Status.RUNNING and row.attempts == claimed.attempts

    @rule(is_now=st.integers(0, 3).map(lambda number: number == 0))  # it ends all that waits: then little is left to do
    def deliver_twice(self, is_now: bool):
        if not is_now:
            return
        tasks.classify_pending()
        tasks.classify_pending()

    @rule()
    def let_leases_run_out(self):
        Prediction.objects.return_expired(now() + 2 * tasks.LEASE)

    @rule(target=claims, times=st.integers(0, 6))
    def hang_whoever_claims(self, times: int):
        """So many lose their lease one after the other, and may answer yet; the last one holds it still."""
        late = []
        for _ in range(times):
            late += self.claim(1, alone=True)
            self.let_leases_run_out()
        return multiple(*late, *self.claim(1, alone=True))

    @rule(jump=st.sampled_from([timedelta(days=-1), timedelta(hours=-1), timedelta(hours=1)]))
    def set_the_clock(self, jump: timedelta):
        """For the rows that is the same as to move all that they know of it, the other way."""
        for row in Prediction.objects.exclude(status=Status.ERASED):
            moved = {"created_at": row.created_at - jump, "lease_until": row.lease_until and row.lease_until - jump}
            Prediction.objects.filter(pk=row.pk).update(**moved)

    @rule()
    def reconcile(self):
        tasks.reconcile()

    @rule(pk=uploads)
    def retry(self, pk: uuid.UUID):
        row = Prediction.objects.get(pk=pk)
        assert row.retry() == (row.status == Status.FAILED)
        if row.status == Status.FAILED:
            del self.ends[pk]

    @rule(pk=uploads)
    def erase(self, pk: uuid.UUID):
        row = Prediction.objects.get(pk=pk)
        if row.status == Status.RUNNING:
            with pytest.raises(StillRunning):
                erase(row, erased_by="visitor")
            return
        erase(row, erased_by="visitor")
        self.ends.pop(pk, None)

    @rule(number=st.sampled_from([0, 1]))
    def promote(self, number: int):
        is_new = self.versions[number] != self.versions[0].model.desired_version()
        if is_new:
            promote(self.versions[number], by=None, force=True, reason="any")
        else:
            with pytest.raises(PromotionRefused):
                promote(self.versions[number], by=None, force=True, reason="any")
        serving.refresh()

    @invariant()
    def all_holds(self):
        rows = list(Prediction.objects.all())
        for row in rows:
            self.check_says_what_it_is(row)
            if row.is_finished:
                assert self.ends.setdefault(row.pk, end_of(row)) == end_of(row)
        assert not [claim for claim, times in self.claimed.items() if times > 1]
        self.check_bytes_stay_as_long_as_somebody_owns_them()

    def check_says_what_it_is(self, row: Prediction) -> None:
        assert (row.status == Status.RUNNING) == (row.lease_until is not None)
        assert (row.status == Status.ERASED) == (row.image_id is None)
        assert row.status == Status.ERASED or row.attempts <= row.attempts_allowed
        assert row.is_finished == (row.finished_at is not None)

    def check_bytes_stay_as_long_as_somebody_owns_them(self) -> None:
        owned = set(UploadedImage.objects.values_list("blob_id", flat=True))
        assert owned == set(Blob.objects.values_list("pk", flat=True)) == {path.name for path in stored_files()}

    def teardown(self) -> None:
        """Nobody is killed any more: workers drain the queue, and everything ends."""
        while Prediction.objects.filter(status__in=[Status.PENDING, Status.RUNNING]).exists():
            waiting = Prediction.objects.filter(status__in=[Status.PENDING, Status.RUNNING]).count()
            Prediction.objects.return_expired(now() + 2 * tasks.LEASE)
            tasks.classify_pending()
            assert Prediction.objects.filter(status__in=[Status.PENDING, Status.RUNNING]).count() < waiting
        self.all_holds()
        self.forget_everything()

    def forget_everything(self) -> None:
        for row in Prediction.objects.all():
            erase(row, erased_by="visitor")
        assert not stored_files()
        Erasure.objects.all().delete()
        Prediction.objects.all().delete()
        Promotion.objects.filter(pk__gt=Promotion.objects.order_by("pk")[0].pk).delete()


def end_of(row: Prediction) -> tuple[object, ...]:
    """All of it that a second result would change."""
    return (
        row.status,
        row.attempts,
        row.finished_at,
        row.label,
        row.score,
        row.scores,
        row.version_id,
        row.error_detail,
    )


def stored_files() -> list[Path]:
    return blob_files(Path(django_settings.MEDIA_ROOT))


@pytest.fixture
def versions(candidate: ModelVersion) -> list[ModelVersion]:
    serves = candidate.model.desired_version()
    assert serves
    return [serves, candidate]


def test_whatever_happens_each_prediction_ends_once(versions: list[ModelVersion]):
    run_state_machine_as_test(lambda: Lives(versions), settings=QUICK)


@pytest.mark.long
def test_whatever_happens_for_long_each_prediction_ends_once(versions: list[ModelVersion]):
    searching = settings(QUICK, max_examples=400, stateful_step_count=60, derandomize=False)
    run_state_machine_as_test(lambda: Lives(versions), settings=searching)
