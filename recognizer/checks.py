"""What an administrator should know before the service starts: `manage.py check`."""

from typing import Any

from django.conf import settings
from django.core import checks


@checks.register(checks.Tags.security, deploy=False)
def check_production(app_configs: Any, **_: Any) -> list[checks.CheckMessage]:
    """Settings that are safe on one's own machine and not in the open."""
    if not settings.RECOGNIZER_PRODUCTION:
        return []
    found: list[checks.CheckMessage] = []
    if set(settings.ALLOWED_HOSTS) == set(settings.RECOGNIZER_OWN_HOSTS) or "*" in settings.ALLOWED_HOSTS:
        found.append(
            checks.Error(
                "Name the hosts people use in RECOGNIZER_ALLOWED_HOSTS, separated by commas.", id="recognizer.E001"
            )
        )
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        found.append(checks.Warning("Production runs on PostgreSQL: set DATABASE_URL.", id="recognizer.W001"))
    return found
