"""The path of an image: upload, answer, opinion."""
