"""Predictions as CSV that a spreadsheet opens without running anything."""

import csv
from collections.abc import Iterator
from typing import Any

from django.db.models import Prefetch, QuerySet

from classifier_core.spreadsheets import BYTE_ORDER_MARK, harmless
from recognizer.predictions.describe import Names
from recognizer.predictions.models import Prediction, Review
from recognizer.registry.models import Label

CHUNK_ROWS = 500

HEADINGS = [
    "id", "created_at", "status", "model", "version", "label", "name", "score", "known", "verdict", "reviewed_label",
    "reviewer", "reviewed_at", "user", "file_name", "width", "height", "format", "train_allowed", "engine", "device",
    "precision", "attempts", "queue_ms", "decode_ms", "inference_ms", "total_ms", "error",
]  # fmt: skip


class _Echo:
    """A file that hands back each line instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def csv_lines(predictions: QuerySet[Prediction]) -> Iterator[str]:
    """The lines of a CSV file, the heading first. Reads the rows in chunks, so a million of them fit in memory."""
    writer = csv.writer(_Echo())
    names = {(label.model_id, label.key): label.name for label in Label.objects.all()}
    newest = Review.objects.newest().select_related("label", "reviewer")
    # What the caller wanted joined or fetched beside the rows is not needed here.
    rows = predictions.select_related(None).prefetch_related(None)
    rows = rows.select_related("image__blob", "user", "model", "version")
    rows = rows.prefetch_related(Prefetch("reviews", newest, to_attr="newest_reviews"))
    yield BYTE_ORDER_MARK + writer.writerow(HEADINGS)
    for row in rows.iterator(chunk_size=CHUNK_ROWS):
        yield writer.writerow([harmless(cell) for cell in _cells(row, names)])


def _cells(row: Any, names: Names) -> list[Any]:
    return [
        row.pk, row.created_at.isoformat(), row.status, row.model.name, row.version.number if row.version else "",
        row.label, names.get((row.model_id, row.label), ""), row.score, row.known, *_review_cells(row),
        row.user.get_username() if row.user else "", *_image_cells(row), row.engine, row.device, row.precision,
        row.attempts, row.queue_ms, row.decode_ms, row.inference_ms, row.total_ms, row.error_detail,
    ]  # fmt: skip


def _review_cells(row: Any) -> list[Any]:
    if not row.newest_reviews:
        return [""] * 4
    review = row.newest_reviews[0]
    return [review.verdict, review.label.key if review.label else "", review.reviewer, review.created_at.isoformat()]


def _image_cells(row: Prediction) -> list[Any]:
    if row.image is None:
        return [""] * 5
    blob = row.image.blob
    return [row.image.file_name, blob.width, blob.height, blob.format, row.image.train_allowed]
