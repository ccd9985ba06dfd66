"""What the desk's page may send, checked."""

from typing import Any

from rest_framework import serializers

from recognizer.predictions.admin.actions import MAX_AT_ONCE
from recognizer.predictions.models import Review
from recognizer.registry.taxonomy import MAX_NAME

VERDICTS = Review.Verdict.that_count()


class RowNumberField(serializers.IntegerField):
    """What may be the number of a row."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=2**63 - 1, **options)


class StepSerializer(serializers.Serializer[Any]):
    """One thing a reviewer did to one recognition, and the newest review of it that they knew of."""

    do = serializers.ChoiceField(choices=["judge", "approve", "refuse", "undo"])
    id = serializers.UUIDField()
    seen = RowNumberField()
    verdict = serializers.ChoiceField(choices=VERDICTS, required=False)
    label = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")  # type: ignore[assignment]
    claim = RowNumberField(required=False)
    review = RowNumberField(required=False)

    NEEDS = {"judge": "verdict", "approve": "claim", "refuse": "claim", "undo": "review"}

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        if (needed := self.NEEDS[given["do"]]) not in given:
            raise serializers.ValidationError({needed: f"To {given['do']} takes this."})
        return given


class StepsSerializer(serializers.Serializer[Any]):
    steps = serializers.ListField(child=StepSerializer(), min_length=1, max_length=MAX_AT_ONCE)
    bulk = serializers.BooleanField(default=False)


class PreviewSerializer(serializers.Serializer[Any]):
    """Chosen recognitions, or all that the desk is asked for, and what shall become of them."""

    ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=MAX_AT_ONCE)
    question = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    verdict = serializers.ChoiceField(choices=VERDICTS)
    label = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")  # type: ignore[assignment]


class NewLabelSerializer(serializers.Serializer[Any]):
    model = serializers.CharField(max_length=60)
    english = serializers.CharField(max_length=MAX_NAME, allow_blank=True, required=False, default="")
    chinese = serializers.CharField(max_length=MAX_NAME, allow_blank=True, required=False, default="")
