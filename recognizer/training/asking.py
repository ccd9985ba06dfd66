"""Ask for a snapshot; `snapshots.py` fills it."""

from django.contrib.auth.models import User
from django.db import transaction

from recognizer.registry.models import RegisteredModel
from recognizer.training import bell
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
