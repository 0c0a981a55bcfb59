"""A node of a graph while it is read: its inputs as values, its attributes, and why it may be refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Phrase
from .document import Document, array
from .values import Data, Unfit, Value

Array = NDArray[Any]


class Refusal(Exception):
    """Why a node is refused."""

    def __init__(self, why: Phrase) -> None:
        super().__init__(why)
        self.why = why


class Node:
    """A node with its inputs looked up; attributes are taken one by one, and one left over is refused."""

    def __init__(self, proto: Any, inputs: list[Value], document: Document) -> None:
        from onnx import helper

        self.op, self.inputs, self.outputs = proto.op_type, inputs, list(proto.output)
        self.name = f"{proto.op_type} {proto.name or ', '.join(proto.output)}"
        self._unused = {}
        for attribute in proto.attribute:
            value = helper.get_attribute_value(attribute)
            if attribute.type == attribute.TENSOR:
                value = array(value, document.path)
            elif attribute.type == attribute.STRING:
                value = value.decode("utf-8", "replace")
            elif attribute.type == attribute.STRINGS:
                value = [one.decode("utf-8", "replace") for one in value]
            elif attribute.type not in (attribute.INT, attribute.FLOAT, attribute.INTS, attribute.FLOATS):
                raise Refusal(Phrase("why.onnx.attribute", name=attribute.name))
            self._unused[attribute.name] = value

    def attribute(self, name: str, default: Any = None) -> Any:
        """Take an attribute, the default where it is not there."""
        value = self._unused.pop(name, default)
        return list(value) if hasattr(value, "__iter__") and not isinstance(value, (str, np.ndarray, list)) else value

    def refuse_unused(self) -> None:
        """Refuse the node if an attribute was not taken."""
        for name in self._unused:
            raise Refusal(Phrase("why.onnx.attribute", name=name))

    def __getitem__(self, k: int) -> Value:
        return self.inputs[k] if k < len(self.inputs) else None

    def data(self, k: int = 0) -> Data:
        """Return an input that is data."""
        value = self[k]
        if not isinstance(value, Data):
            raise Unfit
        return value

    def constant(self, k: int) -> Array:
        """Return an input that is a constant."""
        value = self[k]
        if not isinstance(value, np.ndarray):
            raise Unfit
        return value
