"""The web process: `python -m recognizer.web`.

waitress reads a whole request before it takes a thread, so slow clients hold sockets, never threads.
"""

import os

import waitress
from django.conf import settings

from recognizer.wsgi import application

MAX_CONNECTIONS = 2000  # waitress' default of 100 lets 100 half-open connections stop the service
# Far above the largest allowed upload in base64, so that our own 413 answers; beyond it waitress refuses unread.
MAX_BODY_BYTES = 128 * 1024 * 1024


def main() -> None:
    """Serve until the process is told to stop."""
    waitress.serve(
        application,
        host=os.environ.get("RECOGNIZER_HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8000")),
        threads=settings.RECOGNIZER_WEB_THREADS,
        connection_limit=MAX_CONNECTIONS,
        max_request_body_size=MAX_BODY_BYTES,
        asyncore_use_poll=True,  # select() ends at file descriptor 1023
        channel_timeout=60,
        ident=None,
        clear_untrusted_proxy_headers=True,
        trusted_proxy=settings.RECOGNIZER_TRUSTED_PROXY or None,
        trusted_proxy_headers=set(settings.RECOGNIZER_TRUSTED_PROXY_HEADERS),
    )


if __name__ == "__main__":
    main()
