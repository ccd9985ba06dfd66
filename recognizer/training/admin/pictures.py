"""Small pictures of photos that belong to no upload, encoded anew without metadata."""

from django.http import Http404, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from classifier_core.errors import ClassifierError
from recognizer.predictions import renditions

SECONDS = 3600  # a picture of one hash never changes


def thumbnail(address: str, words: str = "") -> SafeString:
    return format_html('<img class="rz-thumb" src="{}" alt="{}" loading="lazy" width="56" height="42">', address, words)


def thumbnail_response(sha256: str | None) -> HttpResponse:
    """The picture. Raises Http404 when there is none (any more)."""
    if sha256 is None:
        raise Http404("The photo was erased.")
    try:
        picture = renditions.rendition(sha256, "thumbnail")
    except (ClassifierError, FileNotFoundError) as error:
        raise Http404("There is no picture of this photo.") from error
    except renditions.TooManyPictures as busy:
        return HttpResponse(str(busy), status=503, content_type="text/plain", headers={"Retry-After": "2"})
    headers = {"Cache-Control": f"private, max-age={SECONDS}", "X-Content-Type-Options": "nosniff"}
    return HttpResponse(picture, content_type="image/jpeg", headers=headers)
