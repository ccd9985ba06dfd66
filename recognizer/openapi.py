"""What the OpenAPI document says beyond the views' own words: problem documents and access tokens."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = serializers.ListField(child=serializers.DictField(), required=False)  # type: ignore[assignment]
    id = serializers.UUIDField(required=False, help_text="The stored prediction, where there is one.")
    access = serializers.CharField(required=False, help_text="With `id`, after an upload without sign-in: its token.")


def problems(*statuses: int) -> dict[tuple[int, str], type[ProblemSerializer]]:
    """The error replies of an operation, for `extend_schema(responses=...)`."""
    return {(status, "application/problem+json"): ProblemSerializer for status in statuses}


class AccessTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "recognizer.predictions.ownership.AccessTokenAuthentication"
    name = "accessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        words = "The `access` member of the answer to an anonymous upload. Opens that prediction only."
        return {"type": "http", "scheme": "bearer", "description": words}
