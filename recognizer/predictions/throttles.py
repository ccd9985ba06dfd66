"""How often one client may upload."""

import structlog
from django.http import HttpRequest
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from recognizer.predictions import doorbell

log = structlog.get_logger(__name__)


class UploadThrottle(SimpleRateThrottle):
    """One rate for API and page, by user or address, counted in the broker.

    Without a broker nobody is refused: uploads go on, and only the first one waits for it.
    """

    scope = "predict"

    def allow_request(self, request: Request | HttpRequest, view: APIView | None = None) -> bool:
        """Whether one more upload is allowed now. Counts it if so."""
        if doorbell.is_quiet():
            return True
        try:
            return super().allow_request(request, view)  # type: ignore[arg-type]  # a page has no APIView
        except RedisError as error:
            doorbell.be_quiet()
            log.warning("uploads are not counted, the broker does not answer", error=str(error))
            return True

    def get_cache_key(self, request: Request, view: APIView | None) -> str:
        ident = f"user:{request.user.pk}" if request.user.is_authenticated else self.get_ident(request)
        return self.cache_format % {"scope": self.scope, "ident": ident}
