from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from recognizer.predictions import views
from recognizer.registry.views import ModelListView, ModelView

app_name = "api"
urlpatterns = [
    path("predict", views.PredictView.as_view(schema=None), name="predict"),  # a redirect would lose the upload
    path("predict/", views.PredictView.as_view(), name="predict"),
    path("predictions/", views.PredictionListView.as_view(), name="predictions"),
    path("predictions/<uuid:pk>/", views.PredictionView.as_view(), name="prediction"),
    path("predictions/<uuid:pk>/feedback/", views.FeedbackView.as_view(), name="prediction-feedback"),
    path("predictions/<uuid:pk>/retry/", views.RetryView.as_view(), name="prediction-retry"),
    path("predictions/<uuid:pk>/image/", views.PictureView.as_view(), name="prediction-image"),
    path("predictions/<uuid:pk>/thumbnail/", views.ThumbnailView.as_view(), name="prediction-thumbnail"),
    path("models/", ModelListView.as_view(), name="models"),
    re_path(r"^models/(?P<name>[\w.\-]+)/$", ModelView.as_view(), name="model"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    # The documentation page of Swagger sets style attributes; its scripts stay in files of ours.
    path(
        "docs/",
        csp_update({"style-src": [SELF, UNSAFE_INLINE]})(SpectacularSwaggerSplitView.as_view(url_name="api:schema")),
        name="docs",
    ),
]
