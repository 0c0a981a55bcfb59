"""ONNX: models in and out of files, and its three recurrent operators in NumPy (which need no other package)."""

from ... import hooks
from .operators import gru, lstm, rnn

__all__ = ["describe", "gru", "lstm", "prove", "read", "recognise", "rnn", "runner", "write"]


def __getattr__(name: str) -> object:
    """Give what makes this package a format; the operators are not to wait for it."""
    if name in __all__:
        from . import adapter

        return getattr(adapter, name)
    return hooks.submodule(__name__, name)


def __dir__() -> list[str]:
    return sorted(__all__)
