"""The admin of what models learn from: base photos, and frozen snapshots; and of how they learn."""

from recognizer.training.admin import base_photos, checkups, runs, snapshots

__all__ = ["base_photos", "checkups", "runs", "snapshots"]
