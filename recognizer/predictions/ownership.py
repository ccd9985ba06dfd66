"""Who asks, and what they may see. Not yours looks exactly like not there."""

import uuid

from django.core import signing
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from recognizer.predictions.models import Owner, Prediction

COOKIE = "recognizer_visitor"
COOKIE_SECONDS = 365 * 24 * 3600
COOKIE_SALT = "recognizer.visitor"
ACCESS_SALT = "recognizer.access"


def owner_of(request: HttpRequest | Request) -> Owner:
    """The signed-in user, else the visitor of the signed cookie, else nobody."""
    if request.user.is_authenticated:
        return Owner(user=request.user)
    return Owner(visitor=_visitor_of(request))


def owner_for_upload(request: HttpRequest | Request) -> Owner:
    """Like owner_of, but a newcomer becomes a visitor."""
    owner = owner_of(request)
    return owner if owner.user or owner.visitor else Owner(visitor=uuid.uuid4())


def remember_visitor(request: HttpRequest | Request, response: HttpResponse, owner: Owner | None = None) -> None:
    """Give an anonymous visitor the cookie that owns their uploads. No session row is written."""
    owner = owner or owner_for_upload(request)
    if owner.visitor is None or owner.visitor == _visitor_of(request):
        return
    response.set_signed_cookie(
        COOKIE,
        owner.visitor.hex,
        salt=COOKIE_SALT,
        max_age=COOKIE_SECONDS,
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )


def _visitor_of(request: HttpRequest | Request) -> uuid.UUID | None:
    value = request.get_signed_cookie(COOKIE, default=None, salt=COOKIE_SALT)
    return uuid.UUID(value) if value else None


def visible_to(request: HttpRequest | Request) -> QuerySet[Prediction]:
    """Own predictions; all of them for a reviewer; the one an access token names."""
    return _reachable(request, "predictions.view_prediction")


def erasable_by(request: HttpRequest | Request) -> QuerySet[Prediction]:
    """Like visible_to; of other people's only for staff who may delete: looking is not erasing."""
    return _reachable(request, "predictions.delete_prediction")


def retryable_by(request: HttpRequest | Request) -> QuerySet[Prediction]:
    """Like visible_to; other people's only for staff who may change."""
    return _reachable(request, "predictions.change_prediction")


def erased_by(request: HttpRequest | Request) -> str:
    """Who erases, for the log."""
    if request.user.is_authenticated:
        return f"user:{request.user.pk}"
    return "access token" if isinstance(getattr(request, "auth", None), AccessToken) else "visitor"


def _reachable(request: HttpRequest | Request, permission: str) -> QuerySet[Prediction]:
    token = getattr(request, "auth", None)
    if isinstance(token, AccessToken):
        return Prediction.objects.filter(pk=token.prediction)
    if request.user.is_staff and request.user.has_perm(permission):
        return Prediction.objects.all()
    return Prediction.objects.owned_by(owner_of(request))


class AccessToken:
    """The right to one prediction, given to whoever uploaded it without an account."""

    def __init__(self, prediction: uuid.UUID) -> None:
        self.prediction = prediction

    def __str__(self) -> str:
        """The token as sent: signed, not encrypted; it holds nothing but the prediction's id."""
        return signing.Signer(salt=ACCESS_SALT).sign(self.prediction.hex)

    @classmethod
    def parse(cls, text: str) -> "AccessToken":
        """Raises signing.BadSignature."""
        return cls(uuid.UUID(signing.Signer(salt=ACCESS_SALT).unsign(text)))


class AccessTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access>`."""

    def authenticate(self, request: Request) -> tuple[object, AccessToken] | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            return request._request.user, AccessToken.parse(token.strip())
        except signing.BadSignature as error:
            raise AuthenticationFailed(
                "This access token is not valid. Use the one that came with the answer."
            ) from error

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
