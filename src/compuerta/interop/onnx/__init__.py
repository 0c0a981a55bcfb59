"""ONNX: models in and out of files, and its three recurrent operators in NumPy."""

from .operators import gru, lstm, rnn

__all__ = ["gru", "lstm", "rnn"]
