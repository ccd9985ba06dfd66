from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    name = "recognizer.predictions"
    verbose_name = "Recognitions"
