"""Photos with labels: read, looked at, cleaned and split. Importing this package loads neither torch nor OpenVINO."""
