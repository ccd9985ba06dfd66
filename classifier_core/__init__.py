"""Pixels in, calibrated scores out: everything about image classification that needs no web framework.

Importing this package, `images`, `preprocessing`, `artifact`, `errors`, `engines` or `classifier` loads neither torch
nor OpenVINO.
"""
