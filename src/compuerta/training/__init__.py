"""Training: losses, optimizers, schedules, batches, the loop and what is told of it."""

from .batches import Batch, Shuffled, Source, TextStreams
from .callbacks import Checkpoint, EarlyStopping, Progress, load_checkpoint
from .losses import absolute_error, cross_entropy, dense_cross_entropy, quantile_loss, squared_error
from .optimizers import SGD, Adam, AdamW, Optimizer, clip_by_global_norm
from .schedules import Constant, Cosine, Schedule, Steps
from .trainer import Callback, Trainer

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Batch",
    "Callback",
    "Checkpoint",
    "Constant",
    "Cosine",
    "EarlyStopping",
    "Optimizer",
    "Progress",
    "Schedule",
    "Shuffled",
    "Source",
    "Steps",
    "TextStreams",
    "Trainer",
    "absolute_error",
    "clip_by_global_norm",
    "cross_entropy",
    "dense_cross_entropy",
    "load_checkpoint",
    "quantile_loss",
    "squared_error",
]


def __dir__() -> list[str]:
    return sorted(__all__)
