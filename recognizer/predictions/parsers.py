"""The three forms of a predict request, as one dictionary of raw values."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser


class RawImageParser(BaseParser):
    """A body that is the image itself, as `curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'` sends it."""

    media_type = "image/*"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return {"image": stream.read()}
