"""An ONNX graph that is being rewritten: who makes a value, who takes it, what is constant."""

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .graph import drop_unused

MICROSOFT = "com.microsoft"


class Editor:
    """Nodes are emitted in order into a new list; what nothing comes of is dropped at the end."""

    def __init__(self, model: onnx.ModelProto):
        self.model, self.graph = model, model.graph
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.uses = Counter(name for node in self.graph.node for name in node.input)
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in dict.fromkeys(node.input):
                self.users.setdefault(name, []).append(node)
        self.tensors = {tensor.name: tensor for tensor in self.graph.initializer}
        self.emitted: list[onnx.NodeProto] = []
        self.count = 0

    def array(self, name: str) -> np.ndarray | None:
        """A constant's value."""
        tensor = self.tensors.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def constant(self, name: str, value: np.ndarray) -> str:
        """Adds a weight, once per name."""
        if name not in self.tensors:
            self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
            self.graph.initializer.append(self.tensors[name])
        return name

    def number(self, value: float, kind: type = np.float32) -> str:
        return self.constant(f"{np.dtype(kind).name}_{value:.9g}", np.array(value, kind))

    def integers(self, *values: int) -> str:
        return self.constant("integers_" + "_".join(map(str, values)), np.array(values, np.int64))

    def emit(self, operator: str, *inputs: str, out: str | None = None, domain: str = "", **attributes) -> str:
        """Adds a node; gives the name of its output."""
        self.count += 1
        output = out or f"{operator}_q{self.count}"
        self.emitted.append(helper.make_node(operator, list(inputs), [output], output, domain=domain, **attributes))
        return output

    def keep(self, node: onnx.NodeProto) -> None:
        self.emitted.append(node)

    def finish(self) -> onnx.ModelProto:
        """The rewritten model."""
        del self.graph.node[:]
        self.graph.node.extend(self.emitted)
        drop_unused(self.graph)
        if not any(entry.domain == MICROSOFT for entry in self.model.opset_import):
            self.model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        return self.model

    def bias_of(self, product: onnx.NodeProto) -> tuple[onnx.NodeProto, str] | None:
        """The Add of a constant row to a product's only use, and the row's name."""
        users = self.users.get(product.output[0], [])
        if len(users) != 1 or users[0].op_type != "Add":
            return None
        (other,) = [name for name in users[0].input if name != product.output[0]] or [""]
        tensor = self.tensors.get(other)
        return (users[0], other) if tensor is not None and len(tensor.dims) == 1 else None
