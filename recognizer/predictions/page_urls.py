from django.urls import path

from recognizer.predictions import pages

urlpatterns = [
    path("", pages.upload, name="upload"),
    path("history/", pages.history, name="history"),
    path("predictions/<uuid:pk>/", pages.prediction, name="prediction"),
    path("predictions/<uuid:pk>/retry/", pages.retry, name="retry"),
    path("predictions/<uuid:pk>/erase/", pages.erase, name="erase"),
    path("predictions/<uuid:pk>/feedback/", pages.feedback, name="feedback"),
]
