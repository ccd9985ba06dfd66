"""Decide which version serves. Each decision is one more row."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction

from recognizer.registry.models import Evaluation, ModelVersion, Promotion, RegisteredModel


class PromotionRefused(RuntimeError):
    """The gate says no, in words."""


@dataclass(frozen=True)
class GateResult:
    """What the gate found. `passed` and the words for the row."""

    passed: bool
    words: str


def promote(version: ModelVersion, *, by: User | None, reason: str = "", force: bool = False) -> Promotion:
    """Let this version serve from now on.

    The first promotion of a model has nothing to compare with. Any later one must be no worse than what serves, on the
    same photos; `force` goes past the gate and needs a written reason.

    Raises PromotionRefused.
    """
    with transaction.atomic():
        model = RegisteredModel.objects.select_for_update().get(pk=version.model_id)
        if version.is_removed:
            raise PromotionRefused(f"The artifact of {version} was removed to make room. Train it again.")
        serving = model.desired_version()
        if serving is None:
            return _write(version, Promotion.Kind.FIRST, "Skipped: nothing served before.", by=by, reason=reason)
        if serving == version:
            raise PromotionRefused(f"{version} serves already.")
        gate = compare(version, serving)
        if gate.passed:
            return _write(version, Promotion.Kind.PROMOTION, gate.words, by=by, reason=reason)
        if not force:
            raise PromotionRefused(f"{gate.words} An administrator may force it, with a reason.")
        if not reason.strip():
            raise PromotionRefused("Forcing a promotion needs a written reason.")
        return _write(version, Promotion.Kind.FORCED, f"Overruled: {gate.words}", by=by, reason=reason)


def rollback(model: RegisteredModel, *, by: User | None, reason: str = "") -> Promotion:
    """Let the version serve again that served before the present one. Raises PromotionRefused."""
    with transaction.atomic():
        model = RegisteredModel.objects.select_for_update().get(pk=model.pk)
        previous = previous_version(model)
        if previous is None:
            raise PromotionRefused(f"No other version of {model.name} has served before.")
        return _write(previous, Promotion.Kind.ROLLBACK, "Skipped: it served before.", by=by, reason=reason)


def compare(candidate: ModelVersion, serving: ModelVersion) -> GateResult:
    """Whether the candidate is at least as accurate as what serves, on the newest photos both were judged on.

    Figures that an artifact brings along are its own word, and do not count.
    """
    measured = Evaluation.objects.exclude(source=Evaluation.CLAIMED).exclude(dataset_sha256="")
    for ours in measured.filter(version=candidate):
        theirs = measured.filter(version=serving, dataset_sha256=ours.dataset_sha256).first()
        if theirs is not None:
            return _judge(ours, theirs)
    words = f"{candidate} and {serving} were never evaluated on the same photos here."
    return GateResult(False, f"{words} Figures that an artifact brings along do not count.")


def _judge(ours: Evaluation, theirs: Evaluation) -> GateResult:
    words = (
        f"Accuracy {ours.accuracy:.4f} against {theirs.accuracy:.4f} of {theirs.version} "
        f"on {ours.num_images} photos of {ours.dataset}."
    )
    return GateResult(ours.accuracy >= theirs.accuracy, words)


def previous_version(model: RegisteredModel) -> ModelVersion | None:
    """The version before the present one, walking back over rollbacks like an undo."""
    stack: list[ModelVersion] = []
    for promotion in model.promotions.select_related("version").order_by("pk"):
        if promotion.kind == Promotion.Kind.ROLLBACK:
            stack.pop()
        else:
            stack.append(promotion.version)
    return stack[-2] if len(stack) > 1 else None


def _write(version: ModelVersion, kind: Promotion.Kind, gate: str, *, by: User | None, reason: str) -> Promotion:
    return Promotion.objects.create(
        model=version.model, version=version, kind=kind, gate=gate, promoted_by=by, reason=reason
    )
