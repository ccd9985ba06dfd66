"""Ask for a snapshot, or for a check-up of what would be in one; `snapshots.py` and `checkups.py` fill them."""

from django.contrib.auth.models import User
from django.db import transaction

from recognizer.registry.models import RegisteredModel
from recognizer.training import bell
from recognizer.training.checkup_models import CheckUp
from recognizer.training.models import DatasetSnapshot
from recognizer.training.options import SnapshotOptions


def ask_for_snapshot(
    model: RegisteredModel, options: SnapshotOptions, *, by: User | None, rings: bool = True
) -> DatasetSnapshot:
    """A pending snapshot; a worker is rung for, unless the caller freezes it. Raises DatasetInvalid."""
    options.check()
    with transaction.atomic():
        snapshot = DatasetSnapshot.objects.ask(model, options=options.to_dict(), created_by=by)
        if rings:
            transaction.on_commit(lambda: bell.ring("freeze"), robust=True)
    return snapshot


def ask_for_checkup(model: RegisteredModel, *, by: User | None, rings: bool = True) -> CheckUp:
    """A pending check-up, or the one that waits already; a worker is rung for, unless the caller does it."""
    with transaction.atomic():
        RegisteredModel.objects.select_for_update().get(pk=model.pk)
        waiting = CheckUp.objects.filter(model=model, status=CheckUp.Status.PENDING).first()
        checkup = waiting or CheckUp.objects.create(model=model, created_by=by)
        if rings:
            transaction.on_commit(lambda: bell.ring("check-photos"), robust=True)
    return checkup
