"""How the admin looks and what its pages may load. Read by the settings, so it imports no model."""

import re
from collections.abc import Callable
from typing import Any

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext_lazy as _

# Unfold's pages are built on Alpine, which evaluates the attributes it reads, and set style attributes.
ADMIN_POLICY = {"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}


HTML_TAG = re.compile(rb'<html lang="[^"]*"')
IN_ENGLISH = b'<html lang="en"'


class AdminPolicyMiddleware:
    """What is so on the admin's own pages, and nowhere else.

    Their content security policy is relaxed: this stands after CSPMiddleware. And they say that they are in English,
    which their text is until there are translations: Unfold's template would name the reader's language, in which
    only the names of labels are, and a screen reader would read English aloud as if it were Chinese.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.resolver_match and request.resolver_match.app_name == "admin":
            response._csp_replace = ADMIN_POLICY  # type: ignore[attr-defined]
            _say_english(response)
        return response


def _say_english(response: HttpResponse) -> None:
    if not response.streaming and response.get("Content-Type", "").startswith("text/html"):
        response.content = HTML_TAG.sub(IN_ENGLISH, response.content, count=1)
        response["Content-Language"] = "en"


def may_view(app_label: str, model: str) -> Callable[[HttpRequest], bool]:
    """Whether the person may see the rows of this model, asked for each page."""

    def ask(request: HttpRequest) -> bool:
        return any(request.user.has_perm(f"{app_label}.{verb}_{model}") for verb in ("view", "change"))

    return ask


def may_review(request: HttpRequest) -> bool:
    """Whether the desk is for this person: to judge pictures one has to see them."""
    return request.user.has_perms(["predictions.add_review", "predictions.view_prediction"])


def _entry(title: Any, icon: str, model: str) -> dict[str, Any]:
    app_label, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app_label}_{name}_changelist"),
        "permission": may_view(app_label, name),
    }


def _among(rows: str, *, besides: str) -> Callable[[HttpRequest], bool]:
    """Whether the page is one of these rows, and not the page beside them whose address begins alike."""

    def ask(request: HttpRequest) -> bool:
        beginning = reverse(f"admin:{rows}_changelist")
        return request.path.startswith(beginning) and not request.path.startswith(beginning + besides)

    return ask


# tokens.css as Unfold's two scales: light surfaces at the bright end, dark ones at the other.
COLORS = {
    "base": {
        "50": "#f7f6f3", "100": "#efede8", "200": "#dedad2", "300": "#cbc7be", "400": "#acaaa2", "500": "#6b675f",
        "600": "#5c5850", "700": "#363a34", "800": "#272a26", "900": "#1c1e1b", "950": "#131412",
    },
    "primary": {
        "50": "#eef7f4", "100": "#e0efeb", "200": "#bfe3da", "300": "#93ddcd", "400": "#6fcdb9", "500": "#2f9c88",
        "600": "#0f6a5b", "700": "#0a5246", "800": "#08433a", "900": "#06362f", "950": "#06251f",
    },
}  # fmt: skip

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Recognizer",
    "SITE_HEADER": "Recognizer",
    "SITE_SUBHEADER": _("What it saw, and who agreed"),
    "SITE_URL": "/",
    "SITE_SYMBOL": "image_search",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("recognizer/favicon.svg")}
    ],
    "BORDER_RADIUS": "8px",
    "COLORS": COLORS,
    "STYLES": [lambda _request: static("recognizer/tokens.css"), lambda _request: static("recognizer/admin.css")],
    "DASHBOARD_CALLBACK": "recognizer.predictions.admin.dashboard.dashboard",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "",
                "items": [{"title": _("Overview"), "icon": "dashboard", "link": reverse_lazy("admin:index")}],
            },
            {
                "title": _("Review"),
                "items": [
                    {
                        "title": _("Review desk"),
                        "icon": "keyboard",
                        "link": reverse_lazy("admin:predictions_desk"),
                        "permission": may_review,
                    },
                    {
                        **_entry(_("Recognitions"), "photo_library", "predictions.prediction"),
                        "active": _among("predictions_prediction", besides="desk/"),
                    },
                    _entry(_("Feedback"), "chat", "predictions.feedback"),
                    _entry(_("Reviews"), "fact_check", "predictions.review"),
                    _entry(_("Erasures"), "ink_eraser", "predictions.erasure"),
                ],
            },
            {
                "title": _("Data"),
                "items": [
                    _entry(_("Base photos"), "photo_camera", "training.basephoto"),
                    _entry(_("Imports"), "folder_zip", "training.photoimport"),
                    _entry(_("Check-ups"), "stethoscope", "training.checkup"),
                    _entry(_("Decisions"), "gavel", "training.photodecision"),
                    {
                        **_entry(_("Snapshots"), "ac_unit", "training.datasetsnapshot"),
                        "active": _among("training_datasetsnapshot", besides="origin/"),
                    },
                    _entry(_("Test parts"), "rule", "registry.teststate"),
                ],
            },
            {
                "title": _("Models"),
                "items": [
                    _entry(_("Registered models"), "category", "registry.registeredmodel"),
                    _entry(_("Training runs"), "model_training", "training.trainingrun"),
                    _entry(_("Versions"), "deployed_code", "registry.modelversion"),
                    _entry(_("Judgements"), "balance", "registry.judgement"),
                    _entry(_("Evaluations"), "query_stats", "registry.evaluation"),
                    _entry(_("Trials"), "compare", "predictions.trial"),
                    {
                        **_entry(_("Promotions"), "publish", "registry.promotion"),
                        "active": _among("registry_promotion", besides="served/"),
                    },
                    {
                        "title": _("What served when"),
                        "icon": "history",
                        "link": reverse_lazy("admin:registry_served"),
                        "permission": may_view("registry", "promotion"),
                    },
                    _entry(_("Loaded versions"), "memory", "registry.loadedversion"),
                    _entry(_("Labels"), "label", "registry.label"),
                ],
            },
            {
                "title": _("People"),
                "items": [_entry(_("Users"), "person", "auth.user"), _entry(_("Groups"), "group", "auth.group")],
            },
        ],
    },
}
