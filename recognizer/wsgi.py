"""The WSGI application, for any server; `python -m recognizer.web` runs it under waitress."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recognizer.settings")

application = get_wsgi_application()
