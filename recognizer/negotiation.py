"""Which form a request has and which its answer gets."""

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Empty, Request


class QuickRequest(Request):
    """A request whose body is read faster: the framework's own reads the content type twice more.

    That finds out whether Django's request is to know of the form. Here it gets the files, which it closes at the end.
    """

    def _load_data_and_files(self) -> None:
        if self._full_data is not Empty:  # type: ignore[has-type]
            return
        self._data, self._files = self._parse()  # type: ignore[attr-defined]
        self._full_data = self._data
        if self._files:
            self._request._files = self._files  # type: ignore[attr-defined]
            self._full_data = self._data.copy()
            self._full_data.update(self._files)


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
