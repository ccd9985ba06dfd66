from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "recognizer.registry"
    verbose_name = "Models"
