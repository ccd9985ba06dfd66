"""Promotions: first, gated, forced, rolled back; each one more row."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from recognizer.registry.models import Evaluation, HistoryError, Label, ModelVersion, Promotion, RegisteredModel
from recognizer.registry.promotion import PromotionRefused, promote, rollback
from tests.recognition import add_version

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


@pytest.fixture
def model() -> RegisteredModel:
    return RegisteredModel.objects.create(name="fruit")


@pytest.fixture
def versions(model: RegisteredModel) -> list[ModelVersion]:
    return [add_version(model, f"{number:064d}") for number in range(3)]


def evaluate(version: ModelVersion, accuracy: float, photos: str = "a", source: str = "") -> Evaluation:
    figures: dict[str, Any] = {"dataset": photos, "dataset_sha256": photos * 64, "num_images": 100, "source": source}
    return Evaluation.objects.create(version=version, accuracy=accuracy, **figures)


def test_first_promotion_says_what_it_skipped(model: RegisteredModel, versions: list[ModelVersion]):
    promotion = promote(versions[0], by=None, reason="start")

    assert promotion.kind == "first"
    assert promotion.gate == "Skipped: nothing served before."
    assert promotion.reason == "start"
    assert model.desired_version() == versions[0]


def test_unmeasured_version_is_refused(model: RegisteredModel, versions: list[ModelVersion]):
    promote(versions[0], by=None)

    with pytest.raises(PromotionRefused, match="never evaluated on the same photos"):
        promote(versions[1], by=None)
    assert Promotion.objects.count() == 1


@pytest.mark.parametrize(("ours", "passes"), [(0.91, True), (0.90, True), (0.89, False)])
def test_gate_compares_on_the_same_photos(versions: list[ModelVersion], ours: float, passes: bool):
    promote(versions[0], by=None)
    evaluate(versions[0], 0.90)
    evaluate(versions[1], ours)
    evaluate(versions[1], 1.0, photos="b")  # newer, but only one of them was judged on it

    if passes:
        assert promote(versions[1], by=None).kind == "promotion"
    else:
        with pytest.raises(PromotionRefused, match=r"0\.8900 against 0\.9000"):
            promote(versions[1], by=None)


def test_newest_common_photos_count(versions: list[ModelVersion]):
    promote(versions[0], by=None)
    evaluate(versions[0], 0.5, photos="a")
    evaluate(versions[0], 0.9, photos="b")
    evaluate(versions[1], 0.9, photos="a")
    evaluate(versions[1], 0.6, photos="b")

    with pytest.raises(PromotionRefused):
        promote(versions[1], by=None)


@pytest.mark.parametrize("claiming", [0, 1])
def test_what_an_artifact_claims_does_not_count(versions: list[ModelVersion], claiming: int):
    promote(versions[0], by=None)
    for number in (0, 1):
        source = Evaluation.CLAIMED if number == claiming else "measured here"
        evaluate(versions[number], 1.0, source=source)

    with pytest.raises(PromotionRefused, match="brings along do not count"):
        promote(versions[1], by=None)


def test_force_needs_a_reason_and_is_written_down(versions: list[ModelVersion], admin_user):
    promote(versions[0], by=None)

    with pytest.raises(PromotionRefused, match="reason"):
        promote(versions[1], by=admin_user, force=True, reason="  ")
    promotion = promote(versions[1], by=admin_user, force=True, reason="new class")

    assert (promotion.kind, promotion.reason, promotion.promoted_by) == ("forced", "new class", admin_user)
    assert promotion.gate.startswith("Overruled: ")


def test_what_serves_is_not_promoted_again(versions: list[ModelVersion]):
    promote(versions[0], by=None)

    with pytest.raises(PromotionRefused, match="serves already"):
        promote(versions[0], by=None, force=True, reason="again")


def force(version: ModelVersion) -> None:
    promote(version, by=None, force=True, reason="test")


def test_rollback_walks_back_like_undo(model: RegisteredModel, versions: list[ModelVersion]):
    promote(versions[0], by=None)
    force(versions[1])
    force(versions[2])

    assert rollback(model, by=None).version == versions[1]
    assert rollback(model, by=None).version == versions[0]
    with pytest.raises(PromotionRefused, match="No version of fruit served before fruit v1"):
        rollback(model, by=None)
    assert [row.kind for row in Promotion.objects.order_by("pk")] == [
        "first",
        "forced",
        "forced",
        "rollback",
        "rollback",
    ]


def test_promotion_after_a_rollback_can_be_undone(model: RegisteredModel, versions: list[ModelVersion]):
    promote(versions[0], by=None)
    force(versions[1])
    rollback(model, by=None)
    force(versions[2])

    assert rollback(model, by=None).version == versions[0]


def test_rollback_of_nothing_is_refused(model: RegisteredModel):
    with pytest.raises(PromotionRefused):
        rollback(model, by=None)


def test_models_do_not_mix(model: RegisteredModel, versions: list[ModelVersion]):
    cars = RegisteredModel.objects.create(name="cars")
    promote(versions[0], by=None)
    promote(add_version(cars, "c" * 64), by=None)

    assert {(row.model.name, row.version.number) for row in Promotion.objects.desired()} == {("fruit", 1), ("cars", 1)}


@pytest.mark.parametrize("kind", ["Promotion", "ModelVersion", "Evaluation"])
def test_history_is_never_edited(versions: list[ModelVersion], kind: str):
    rows = {
        "Promotion": promote(versions[0], by=None),
        "ModelVersion": versions[0],
        "Evaluation": evaluate(versions[0], 1),
    }
    row = type(rows[kind])._default_manager.get(pk=rows[kind].pk)

    with pytest.raises(HistoryError):
        row.save()
    with pytest.raises(HistoryError):
        row.delete()


def test_label_falls_back_to_english_and_its_key(model: RegisteredModel):
    from django.utils.translation import override

    named = Label.objects.create(model=model, key="kiwi", names={"en": "Kiwi"})
    bare = Label.objects.create(model=model, key="pear")

    with override("zh-hans"):
        assert (named.name, bare.name) == ("Kiwi", "pear")


# Commands


def say(*arguments: str) -> str:
    said = StringIO()
    call_command(*arguments, stdout=said)
    return said.getvalue()


def test_commands_promote_and_roll_back(model: RegisteredModel, versions: list[ModelVersion]):
    assert "fruit v1 serves" in say("promote", "fruit", "1")
    assert "fruit v2 serves" in say("promote", "fruit", "2", "--force", "--reason", "better light")
    assert "fruit v1 serves again" in say("rollback", "fruit")
    assert "v1" in say("models", "list")
    shown = say("models", "show", "fruit")
    assert "rollback" in shown
    assert "v3" in shown


def test_list_names_what_serves(versions: list[ModelVersion]):
    RegisteredModel.objects.create(name="cars")
    promote(versions[1], by=None)

    lines = [line.split() for line in say("models", "list").splitlines()]

    assert lines == [
        ["cars", "nothing", "promoted", "0", "version(s)"],
        ["fruit", "v2", versions[1].architecture, "3", "version(s)"],
    ]


def test_show_says_figures_and_what_was_skipped(model: RegisteredModel):
    parity = {"num_pictures": 500, "top1_agreement": 0.984, "known_agreement": 0.99, "score_difference": 0.03}
    version = ModelVersion.objects.create(
        model=model, number=1, artifact_sha256="a" * 64, architecture="ghostnet_100", num_classes=3, manifest={},
        parity={"openvino-cpu-bfloat16": parity}, skipped_checks="Imported: not measured here.",
    )  # fmt: skip
    evaluate(version, 0.91, source=Evaluation.CLAIMED)
    promote(version, by=None)

    shown = say("models", "show", "fruit").splitlines()

    assert shown[1:5] == [
        "  v1 ghostnet_100 aaaaaaaaaaaa",
        "    not checked: Imported: not measured here.",
        "    parity, openvino-cpu-bfloat16: top-1 98.4%, known 99.0% the same, scores at most 0.03 apart, 500 pictures",
        "    accuracy 0.9100 on 100 photos of a (written in the artifact)",
    ]
    assert shown[5].endswith("first fruit v1: Skipped: nothing served before.")


@pytest.mark.parametrize(
    "arguments",
    [
        ("promote", "fruit", "9"),
        ("promote", "unicorn", "1"),
        ("promote", "fruit", "2"),
        ("promote", "fruit", "2", "--force"),
        ("rollback", "unicorn"),
        ("rollback", "fruit"),
        ("models", "show", "unicorn"),
    ],
)
def test_commands_say_no_in_words(versions: list[ModelVersion], arguments: tuple[str, ...]):
    promote(versions[0], by=None)

    with pytest.raises(CommandError, match=r"\w+ \w+ \w+"):
        say(*arguments)
    assert Promotion.objects.count() == 1


@pytest.mark.parametrize(
    "arguments", [("promote", "unicorn", "1"), ("rollback", "unicorn"), ("models", "show", "unicorn")]
)
def test_unknown_model_is_told_the_names(versions: list[ModelVersion], arguments: tuple[str, ...]):
    with pytest.raises(CommandError, match=rf"no model named 'unicorn'. There are: {versions[0].model.name} "):
        say(*arguments)
