"""Accounts of people: signing up, in and out, and passwords."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth import views as auth
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path, reverse_lazy
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView

FORM_PAGE = "accounts/form.html"
SAID_PAGE = "accounts/said.html"


class SignUpForm(UserCreationForm[User]):
    class Meta:
        model = get_user_model()
        fields = ["username", "email"]
        help_texts = {"email": _("Optional. A forgotten password can only be reset by e-mail.")}


class SignUpView(FormView[SignUpForm]):
    """Make an account, where the administrator allows it."""

    form_class = SignUpForm
    template_name = FORM_PAGE
    extra_context = {"title": _("Create an account"), "button": _("Create account")}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.RECOGNIZER_SIGN_UP:
            raise Http404
        if request.user.is_authenticated:
            return redirect("upload")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        # Axes' own backend counts failures and knows nobody, so the one that does is named.
        login(self.request, form.save(), backend="django.contrib.auth.backends.ModelBackend")
        return redirect("upload")


class LoginView(auth.LoginView):
    """Sign in. After too many failures axes answers with accounts/locked.html instead."""

    template_name = "accounts/login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(has_sign_up=settings.RECOGNIZER_SIGN_UP, **kwargs)


class ResetView(auth.PasswordResetView):
    """Ask for a link by e-mail. The reply is the same whether or not the address is known."""

    template_name = "accounts/reset.html"
    email_template_name = "accounts/reset_email.txt"
    subject_template_name = "accounts/reset_subject.txt"
    success_url = reverse_lazy("password_reset_done")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        sends_email = settings.EMAIL_BACKEND != "django.core.mail.backends.console.EmailBackend"
        return super().get_context_data(sends_email=sends_email, **kwargs)


change = auth.PasswordChangeView.as_view(
    template_name=FORM_PAGE,
    success_url=reverse_lazy("password_change_done"),
    extra_context={"title": _("Change your password"), "button": _("Change password")},
)
change_done = auth.PasswordChangeDoneView.as_view(
    template_name=SAID_PAGE,
    extra_context={"title": _("Password changed"), "words": _("Use the new password from now on.")},
)
reset_done = auth.PasswordResetDoneView.as_view(
    template_name=SAID_PAGE,
    extra_context={
        "title": _("Look into your mailbox"),
        "words": _(
            "If an account has this address, a message with a link is on its way. "
            "Nothing after some minutes? Look into the spam folder, or ask the administrator for a new password."
        ),
    },
)
reset_confirm = auth.PasswordResetConfirmView.as_view(
    template_name="accounts/reset_confirm.html",
    success_url=reverse_lazy("password_reset_complete"),
)
reset_complete = auth.PasswordResetCompleteView.as_view(
    template_name=SAID_PAGE,
    extra_context={"title": _("Password set"), "words": _("You can sign in with the new password now.")},
)

urlpatterns = [
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("sign-up/", SignUpView.as_view(), name="sign_up"),
    path("password/", change, name="password_change"),
    path("password/changed/", change_done, name="password_change_done"),
    path("password/reset/", ResetView.as_view(), name="password_reset"),
    path("password/reset/sent/", reset_done, name="password_reset_done"),
    path("password/reset/<uidb64>/<token>/", reset_confirm, name="password_reset_confirm"),
    path("password/reset/complete/", reset_complete, name="password_reset_complete"),
]
