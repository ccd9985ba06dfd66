"""The admin of what models learn from, of how they learn, and of what judges it."""

from recognizer.training.admin import base_photos, checkups, judgements, runs, snapshots

__all__ = ["base_photos", "checkups", "judgements", "runs", "snapshots"]
