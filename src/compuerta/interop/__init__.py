"""Models in and out of files."""

from .model_file import load, save

__all__ = ["load", "save"]
