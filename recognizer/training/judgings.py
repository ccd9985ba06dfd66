"""Ask whether a version may take the place of what serves. A worker measures it."""

from django.contrib.auth.models import User
from django.db import transaction

from recognizer.registry.models import ModelVersion
from recognizer.training import bell
from recognizer.training.models import Job, Judging


def ask_for_judgement(
    candidate: ModelVersion, *, by: User | None = None, against: ModelVersion | None = None, rings: bool = True
) -> Judging:
    """A pending judging, or the one that waits already; a worker is rung for, unless the caller judges it.

    Without `against`, the candidate is judged against what serves by then.
    """
    with transaction.atomic():
        ModelVersion.objects.select_for_update().get(pk=candidate.pk)  # two clicks are one judging
        asked = {"candidate": candidate, "against": against}
        waiting = Judging.objects.filter(**asked, status=Job.Status.PENDING).first() if rings else None
        judging = waiting or Judging.objects.create(**asked, created_by=by)
        if rings:
            transaction.on_commit(lambda: bell.ring("judge"), robust=True)
    return judging
