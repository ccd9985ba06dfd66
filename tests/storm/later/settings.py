"""The settings under which `manage.py migrate later` finds the later version's migration."""

from recognizer.settings import *  # noqa: F403
from recognizer.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.storm.later"]
