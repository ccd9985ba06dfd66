"""May a version take the place of what serves? Decided from rows alone, so that the web process can."""

from dataclasses import dataclass

from recognizer.registry.models import Evaluation, Judgement, ModelVersion


@dataclass(frozen=True)
class GateResult:
    """What the gate found. `passed` and the words for the row, with the judgement that they come from.

    The words have the keys of labels marked, as the row keeps them: whoever shows them puts in the names.
    """

    passed: bool
    words: str
    judgement: Judgement | None = None


def decide(candidate: ModelVersion, serving: ModelVersion) -> GateResult:
    """What the newest judgement of the two says, as long as it is of today's test photos and labels.

    A model of which nothing was ever frozen has no test photos; there, the evaluations of both are compared.
    """
    if not candidate.model.test_states.exists():
        return compare(candidate, serving)
    judgement = Judgement.objects.of(candidate, serving).select_related("test_state").first()
    if judgement is None:
        return GateResult(False, f"{candidate} was not judged against {serving}, which serves. Judge it first.")
    if outdated := why_outdated(judgement):
        return GateResult(False, f"{outdated} Judge {candidate} again.", judgement)
    return GateResult(judgement.passed, judgement.words, judgement)


def why_outdated(judgement: Judgement) -> str:
    """Why the judgement decides nothing any more, in a sentence; empty while it does."""
    model = judgement.candidate.model
    newest = model.test_states.first()
    if newest is not None and newest.pk != judgement.test_state_id:
        return (
            f"The test part is in state {newest.number} by now, and this was measured on {judgement.test_state.number}."
        )
    counted = judgement.figures.get("labels")  # those of the test photos and of both versions; older ones have none
    labels = model.labels.all() if counted is None else model.labels.filter(key__in=counted)
    if labels.state_sha256() != judgement.labels_sha256:
        return "Labels were merged or retired since this was measured."
    return ""


def compare(candidate: ModelVersion, serving: ModelVersion) -> GateResult:
    """Whether the candidate is at least as accurate as what serves, on the newest photos both were evaluated on.

    Figures that an artifact brings along are its own word, and do not count.
    """
    measured = Evaluation.objects.exclude(source=Evaluation.CLAIMED).exclude(dataset_sha256="")
    for ours in measured.filter(version=candidate):
        theirs = measured.filter(version=serving, dataset_sha256=ours.dataset_sha256).first()
        if theirs is not None:
            return _compared(ours, theirs)
    words = f"{candidate} and {serving} were never evaluated on the same photos here."
    return GateResult(
        False,
        f"{words} Figures that an artifact brings along do not count. "
        f"Freeze a data set of {candidate.model.name}, then judge the version.",
    )


def _compared(ours: Evaluation, theirs: Evaluation) -> GateResult:
    words = (
        f"Accuracy {ours.accuracy:.4f} against {theirs.accuracy:.4f} of {theirs.version} "
        f"on {ours.num_images} photos of {ours.dataset}."
    )
    return GateResult(ours.accuracy >= theirs.accuracy, words)
