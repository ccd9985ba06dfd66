"""The models a fresh installation starts with, and the scripts that make them."""
