from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    name = "recognizer.predictions"
    verbose_name = "Audit"

    def ready(self) -> None:
        from recognizer import checks  # noqa: F401  # registers them
