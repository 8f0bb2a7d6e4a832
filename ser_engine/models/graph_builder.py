"""Write a graph of ONNX node by node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Nodes and weights of one graph; methods add nodes and return the names of their outputs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, *shape: str | int, type: int = TensorProto.FLOAT) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, type, shape))
        return name

    def output(self, value: str, name: str, *shape: str | int) -> None:
        """Return a value under this name."""
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"out_{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def add(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """Add a node; return the name of its output, or of several."""
        number = len(self.nodes)
        names = [f"v{number}_{k}" for k in range(outputs)]
        node = helper.make_node(kind, list(inputs), names, name=f"{kind}_{number}", domain=domain, **attributes)
        self.nodes.append(node)
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """Add a constant."""
        array = np.asarray(value, dtype)
        name = f"c{len(self.weights)}"
        self.weights[name] = numpy_helper.from_array(array, name)
        return name

    def build(self, opsets: Mapping[str, int], ir_version: int) -> onnx.ModelProto:
        """Return the graph as a model with these versions of the sets of operators."""
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, list(self.weights.values()))
        imports = [helper.make_opsetid(domain, number) for domain, number in opsets.items()]
        return helper.make_model(graph, opset_imports=imports, ir_version=ir_version, producer_name="ser-engine")
