"""What a worker wrote into a row, as text that travels with the wake-up: the waiting request need not read it back."""

import json
from datetime import datetime
from operator import attrgetter

from django.core.exceptions import ValidationError

from recognizer.predictions.models import OUTCOME, Prediction

WRITTEN_BY_WORKER = ("attempts", "started_at", *OUTCOME)
_FIELDS = {field.attname: field for field in Prediction._meta.concrete_fields if field.name in WRITTEN_BY_WORKER}
_outcome = attrgetter(*_FIELDS)


def pack(prediction: Prediction) -> str:
    """The outcome that this object has just stored."""
    return json.dumps(dict(zip(_FIELDS, _outcome(prediction), strict=True)), default=datetime.isoformat)


def unpack(text: str, prediction: Prediction) -> bool:
    """Give the object what the row got. False, and nothing is changed: the text is not what `pack` makes today."""
    try:
        values = {name: _FIELDS[name].to_python(value) for name, value in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, KeyError, ValidationError):
        return False
    if values.keys() != _FIELDS.keys():
        return False
    for name, value in values.items():
        setattr(prediction, name, value)
    return True
