"""The admin of what models learn from: base photos, and frozen snapshots."""

from recognizer.training.admin import base_photos, checkups, snapshots

__all__ = ["base_photos", "checkups", "snapshots"]
