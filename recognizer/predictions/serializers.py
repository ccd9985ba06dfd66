"""What the API takes, and the shapes it answers with (for the OpenAPI document)."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from rest_framework import serializers

from recognizer.predictions.describe import describe
from recognizer.predictions.intake import PredictOptions, Upload
from recognizer.predictions.models import Prediction, Review


class ImageField(serializers.Field[Any, Any, Any, Any]):
    """An uploaded file, raw bytes, or base64 text with or without a `data:` prefix."""

    default_error_messages = {
        "required": (
            "Send the image as multipart field `image`, as a raw body with an image/* content type, or base64 in JSON."
        ),
        "base64": "This is not base64. Send the image file's bytes, base64-encoded.",
    }

    def to_internal_value(self, data: Any) -> Upload:
        if isinstance(data, UploadedFile):
            with data:  # closed once read: it would keep the photo as long as the request lasts
                return Upload(data.read(), data.name or "")
        return Upload(data if isinstance(data, bytes) else self._decoded(data))

    def _decoded(self, text: Any) -> bytes:
        if not isinstance(text, str):
            self.fail("base64")
        head, comma, tail = text.partition(",")
        try:
            return base64.b64decode(tail if comma and head.startswith("data:") else text, validate=True)
        except (binascii.Error, ValueError):
            self.fail("base64")


def _default_model() -> str:
    return settings.RECOGNIZER_DEFAULT_MODEL


def _train_default() -> bool:
    return settings.RECOGNIZER_TRAIN_DEFAULT


class PredictSerializer(serializers.Serializer[Any]):
    """One image and its options."""

    image = ImageField()
    model = serializers.CharField(default=_default_model, max_length=60, help_text="Name of a registered model.")
    top_k = serializers.IntegerField(default=5, min_value=1, max_value=20, help_text="How many scores to answer with.")
    train = serializers.BooleanField(
        default=_train_default, help_text="The image may be used for training once a reviewer judged the answer."
    )

    def read(self, values: Mapping[str, Any], *, idempotency_key: str) -> tuple[Upload, PredictOptions]:
        """What was sent. Raises ValidationError. Nothing of it stays here: one serializer reads all requests."""
        read = self.run_validation(values)
        options = PredictOptions(
            model=read["model"], top_k=read["top_k"], train_allowed=read["train"], idempotency_key=idempotency_key
        )
        return read["image"], options


class FeedbackSerializer(serializers.Serializer[Any]):
    """`{"correct": true}`, or `{"label": "..."}` with what it is."""

    correct = serializers.BooleanField(required=False)
    label = serializers.CharField(required=False, max_length=100)  # type: ignore[assignment]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("label" in attrs) == (attrs.get("correct") is True):
            raise serializers.ValidationError('Send {"correct": true}, or {"label": "..."} with what it is.')
        return attrs


class ScoreSerializer(serializers.Serializer[Any]):
    label = serializers.CharField(help_text="Immutable key.")  # type: ignore[assignment]
    name = serializers.CharField(help_text="Display name in the language of Accept-Language.")
    score = serializers.FloatField(min_value=0, max_value=1)


class ImageSerializer(serializers.Serializer[Any]):
    sha256 = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    format = serializers.CharField()
    url = serializers.CharField()
    thumbnail_url = serializers.CharField()


class AnsweringModelSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    version = serializers.IntegerField(allow_null=True)
    architecture = serializers.CharField(allow_null=True)
    engine = serializers.CharField(allow_null=True)
    device = serializers.CharField(allow_null=True)
    precision = serializers.CharField(allow_null=True)


class TimingSerializer(serializers.Serializer[Any]):
    """Milliseconds. `queue` and `total` count from the upload."""

    queue = serializers.FloatField(allow_null=True)
    decode = serializers.FloatField(allow_null=True)
    inference = serializers.FloatField(allow_null=True)
    total = serializers.FloatField(allow_null=True)


class ReviewSerializer(serializers.Serializer[Any]):
    verdict = serializers.ChoiceField(choices=Review.Verdict.that_count())
    label = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    name = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class ErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()


class PredictionSerializer(serializers.Serializer[Prediction]):
    """A stored prediction. The fields document what `describe` returns."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Prediction.Status.choices)
    url = serializers.CharField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    image = ImageSerializer(allow_null=True)
    model = AnsweringModelSerializer()
    top = ScoreSerializer(allow_null=True)
    known = serializers.BooleanField(allow_null=True)
    scores = ScoreSerializer(many=True)
    timing_ms = TimingSerializer()
    review = ReviewSerializer(allow_null=True)
    error = ErrorSerializer(allow_null=True)
    access = serializers.CharField(
        required=False, help_text="Only in the answer to an anonymous upload: a bearer token for this prediction."
    )

    def to_representation(self, instance: Prediction) -> dict[str, Any]:
        return describe(instance)
