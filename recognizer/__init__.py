"""Recognizer: a self-hosted image recognition service."""

from recognizer.celery import app as celery_app

__all__ = ["celery_app"]
