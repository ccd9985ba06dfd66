"""The Celery application. Doors ring tasks by name, so this module knows no step."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recognizer.settings")

app = Celery("recognizer")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
