"""The admin of what models learn from: base photos and frozen snapshots; and of what judges it."""

from recognizer.training.admin import base_photos, judgements, snapshots

__all__ = ["base_photos", "judgements", "snapshots"]
