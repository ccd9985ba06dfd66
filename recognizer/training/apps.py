from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "recognizer.training"
    label = "training"
    verbose_name = "Training"
