"""The admin of models: what serves, what was measured, how labels are called."""

from recognizer.registry.admin import labels, models, versions

__all__ = ["labels", "models", "versions"]
