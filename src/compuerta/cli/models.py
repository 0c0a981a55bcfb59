"""Opening a model file for a command that needs one kind of model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from ..errors import SettingError

Kind = TypeVar("Kind")


def open_model(path: Path, kind: type[Kind]) -> Kind:
    """Return the model of a file.

    Raises:
        SettingError: it is of another kind; the sentence says which commands fit it.
        FileFormatError, OSError: it is no model file, or cannot be opened.
    """
    from ..interop import load

    model: Any = load(path)
    if not isinstance(model, kind):
        raise SettingError("error.other_kind", path=os.fspath(path), got=type(model).__name__, expected=kind.__name__)
    return model
