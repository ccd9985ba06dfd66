"""The bodies that the API reads."""

from collections.abc import Iterator, Mapping
from typing import IO, Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.datastructures import MultiValueDict
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, JSONParser

MAX_PARTS = 100  # of a form; ours have four


class BoundedJSONParser(JSONParser):
    """JSON; brackets nested by the thousand are malformed, not our failure."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error


class RawImageParser(BaseParser):
    """A body that is the image itself, as `curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'` sends it."""

    media_type = "image/*"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return {"image": stream.read()}


class FormParser(BaseParser):
    """A multipart form of one photo, read in one piece: in a seventh of the time that Django's parser of streams takes.

    The body is bounded, and the web server has it whole.
    """

    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> "DataAndFiles[Any, Any]":
        _, options = parse_options_header(media_type or "")
        try:
            return _read_form(stream.read(), options.get("boundary", ""))
        except MultipartError as error:
            raise ParseError(f"This is not a whole multipart form: {error}.") from error


def _read_form(body: bytes, boundary: str) -> "DataAndFiles[Any, Any]":
    texts: MultiValueDict[str, str] = MultiValueDict()
    files: MultiValueDict[str, SimpleUploadedFile] = MultiValueDict()
    for part, content in _parts(body, boundary):
        if part.filename is None:
            texts.appendlist(part.name, content.decode(errors="replace"))
        elif part.filename:  # a browser sends an empty one when no file was chosen
            name = part.filename.replace("\\", "/")
            files.appendlist(part.name, SimpleUploadedFile(name, content, part.content_type))
    return DataAndFiles(texts, files)


def _parts(body: bytes, boundary: str) -> Iterator[tuple[MultipartSegment, bytes]]:
    pieces: list[bytes] = []
    with PushMultipartParser(boundary, max_segment_count=MAX_PARTS) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                part, pieces = event, []
            elif event is not None:
                pieces.append(bytes(event))
            else:
                yield part, b"".join(pieces)
