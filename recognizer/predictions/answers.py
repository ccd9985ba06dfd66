"""What a worker wrote into a row, as text that travels with the wake-up: the waiting request need not read it back."""

import json
from datetime import datetime

from recognizer.predictions.models import OUTCOME, Prediction

WRITTEN_BY_WORKER = ("attempts", "started_at", *OUTCOME)
_FIELDS = [field for field in Prediction._meta.concrete_fields if field.name in WRITTEN_BY_WORKER]


def pack(prediction: Prediction) -> str:
    """The outcome that this object has just stored."""
    return json.dumps([getattr(prediction, field.attname) for field in _FIELDS], default=datetime.isoformat)


def unpack(text: str, prediction: Prediction) -> None:
    """Give the object what the row got. Raises ValidationError or ValueError when the text is not of our making."""
    for field, value in zip(_FIELDS, json.loads(text), strict=True):
        setattr(prediction, field.attname, field.to_python(value))
