"""Which form a request has and which its answer gets."""

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class QuickNegotiation(DefaultContentNegotiation):
    """What nearly every request asks for is seen at a glance; everything else is compared in full."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        media_type = (request.content_type or "").partition(";")[0]
        named = (parser for parser in parsers if parser.media_type == media_type)
        return next(named, None) or super().select_parser(request, parsers)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        takes_all = request.headers.get("accept", "*/*") in ("*/*", "application/json")
        if takes_all and first.media_type == "application/json" and not format_suffix and "format" not in request.GET:
            return first, "application/json"
        return super().select_renderer(request, renderers, format_suffix)  # type: ignore[no-any-return]
