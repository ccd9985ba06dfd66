"""Decide which version serves. Each decision is one more row."""

from dataclasses import replace

from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction

from recognizer.registry.gate import GateResult, decide
from recognizer.registry.models import ModelVersion, Promotion, RegisteredModel


class PromotionRefused(RuntimeError):
    """The gate says no, in words; keys of labels are marked in them."""


def promote(version: ModelVersion, *, by: User | None, reason: str = "", force: bool = False) -> Promotion:
    """Let this version serve from now on.

    The first promotion of a model has nothing to compare with. Any later one must pass the gate; `force` goes past it,
    which needs a written reason, and the permission for that unless a command says so.

    Raises PromotionRefused.
    """
    with transaction.atomic():
        model = RegisteredModel.objects.select_for_update().get(pk=version.model_id)
        if version.is_removed:
            raise PromotionRefused(f"The artifact of {version} was removed to make room. Train it again.")
        serving = model.desired_version()
        if serving is None:
            gate = GateResult(True, "Skipped: nothing served before.")
            return _write(version, Promotion.Kind.FIRST, gate, by=by, reason=reason)
        if serving == version:
            raise PromotionRefused(f"{version} serves already.")
        gate = decide(version, serving)
        if gate.passed:
            return _write(version, Promotion.Kind.PROMOTION, gate, by=by, reason=reason)
        if not force:
            raise PromotionRefused(f"{gate.words} An administrator may force it, with a reason.")
        _check_force(by, reason)
        overruled = replace(gate, words=f"Overruled: {gate.words}")
        return _write(version, Promotion.Kind.FORCED, overruled, by=by, reason=reason)


def may_promote(user: User | AnonymousUser) -> bool:
    """Whether this person may promote what the gate lets through: the door to that is the list of versions."""
    return user.has_perms(["registry.add_promotion", "registry.view_modelversion"])


def may_force(user: User) -> bool:
    """Whether this person may promote what the gate refuses."""
    return user.has_perms(["registry.add_promotion", "registry.force_promotion"])


def _check_force(by: User | None, reason: str) -> None:
    if by is not None and not may_force(by):
        raise PromotionRefused("You may not force a promotion. Ask an administrator who may promote past the gate.")
    if not reason.strip():
        raise PromotionRefused("Forcing a promotion needs a written reason.")


def rollback(model: RegisteredModel, *, by: User | None, reason: str = "") -> Promotion:
    """Let the version serve again that served before the present one. Raises PromotionRefused."""
    with transaction.atomic():
        model = RegisteredModel.objects.select_for_update().get(pk=model.pk)
        previous = previous_version(model)
        if previous is None:
            raise PromotionRefused(f"No version of {model.name} served before {model.desired_version() or 'now'}.")
        gate = GateResult(True, "Skipped: it served before.")
        return _write(previous, Promotion.Kind.ROLLBACK, gate, by=by, reason=reason)


def previous_version(model: RegisteredModel) -> ModelVersion | None:
    """The version before the present one, walking back over rollbacks like an undo."""
    stack: list[ModelVersion] = []
    for promotion in model.promotions.select_related("version").order_by("pk"):
        if promotion.kind == Promotion.Kind.ROLLBACK:
            stack.pop()
        else:
            stack.append(promotion.version)
    return stack[-2] if len(stack) > 1 else None


def rolled_back_version(model: RegisteredModel) -> ModelVersion | None:
    """The version that served until a rollback; None once another one was promoted since."""
    newest = list(model.promotions.select_related("version__model").order_by("-pk")[:2])
    return newest[1].version if len(newest) == 2 and newest[0].kind == Promotion.Kind.ROLLBACK else None


def _write(version: ModelVersion, kind: Promotion.Kind, gate: GateResult, *, by: User | None, reason: str) -> Promotion:
    return Promotion.objects.create(
        model=version.model,
        version=version,
        kind=kind,
        gate=gate.words,
        judgement=gate.judgement,
        promoted_by=by,
        reason=reason,
    )
