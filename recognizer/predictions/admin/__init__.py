"""The admin of recognitions, of what people say about them, and of people."""

from recognizer.predictions.admin import opinions, people, recognitions, trials

__all__ = ["opinions", "people", "recognitions", "trials"]
