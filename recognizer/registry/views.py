"""The JSON API of models: what there is and what serves."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from recognizer.health import describe_loaded, sees_inside
from recognizer.openapi import problems
from recognizer.registry.models import LoadedVersion, ModelVersion, Promotion, RegisteredModel


class ModelSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField()
    url = serializers.CharField()
    desired = serializers.IntegerField(allow_null=True, help_text="Version that should answer.")
    loaded = serializers.ListField(child=serializers.DictField(), help_text="What each live worker holds.")


class ModelDetailSerializer(ModelSerializer):
    classes = serializers.ListField(child=serializers.DictField())
    versions = serializers.ListField(child=serializers.DictField())


class ModelListView(APIView):
    """Every registered model that may serve."""

    @extend_schema(operation_id="models_list", responses={200: ModelSerializer(many=True), **problems(406)})
    def get(self, request: Request) -> Response:
        desired = Promotion.objects.desired().select_related("model", "version").order_by("model__name")
        live = _live()
        is_insider = sees_inside(request)
        return Response(
            [_summary(promotion.model, promotion.version, live, is_insider=is_insider) for promotion in desired]
        )


class ModelView(APIView):
    """One model with its classes and versions."""

    @extend_schema(responses={200: ModelDetailSerializer, **problems(404, 406)})
    def get(self, request: Request, name: str) -> Response:
        model = get_object_or_404(RegisteredModel, name=name)
        labels = model.labels.filter(merged_into=None, retired_at=None)
        versions = model.versions.prefetch_related("evaluations")
        return Response(
            {
                **_summary(model, model.desired_version(), _live(), is_insider=sees_inside(request)),
                "classes": [{"label": label.key, "name": label.name} for label in labels],
                "versions": [_version(version) for version in versions],
            }
        )


def _live() -> list[LoadedVersion]:
    """Of all models: a worker has the same number in each."""
    return list(LoadedVersion.objects.live().select_related("version"))


def _summary(
    model: RegisteredModel, desired: ModelVersion | None, live: list[LoadedVersion], *, is_insider: bool
) -> dict[str, Any]:
    return {
        "name": model.name,
        "description": model.description,
        "url": f"/api/models/{model.name}/",
        "desired": desired.number if desired else None,
        "loaded": describe_loaded(live, model.pk, is_insider=is_insider),
    }


def _version(version: ModelVersion) -> dict[str, Any]:
    return {
        "version": version.number,
        "architecture": version.architecture,
        "num_classes": version.num_classes,
        "artifact_sha256": version.artifact_sha256,
        "created_at": version.created_at.isoformat(),
        "metrics": [
            {
                "dataset": row.dataset,
                "num_images": row.num_images,
                "accuracy": row.accuracy,
                "macro_recall": row.macro_recall,
            }
            for row in version.evaluations.all()
        ],
    }
