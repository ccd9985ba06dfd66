"""All routes."""

from django.contrib import admin
from django.urls import include, path

from recognizer import health, metrics

urlpatterns = [
    path("api/", include("recognizer.api_urls")),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("accounts/", include("recognizer.accounts")),
    path("", include("recognizer.predictions.page_urls")),
]

handler400 = "recognizer.problems.bad_request"
handler403 = "recognizer.problems.permission_denied"
handler404 = "recognizer.problems.not_found"
handler500 = "recognizer.problems.server_error"
