"""TorchScript modules as plain ones whose parts can be read.

Torch calls no hooks inside of a TorchScript module. Its graph, however, names every part that it calls; here Python
goes through the graph, so that hooks see what each part returns.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from maia_core.plugin import content_id

STRUCTURE: dict[str, Callable[[list[Any]], Any]] = {
    "prim::ListConstruct": list,
    "prim::TupleConstruct": tuple,
    "prim::ListUnpack": lambda inputs: inputs[0],
    "prim::TupleUnpack": lambda inputs: inputs[0],
    "prim::NumToTensor": lambda inputs: torch.tensor(inputs[0]),
}
"""Nodes of a graph that only arrange values."""

REFERENCES = frozenset(("prim::Constant", "prim::GetAttr", "prim::CallMethod"))


class ScriptPart(nn.Module):
    """A TorchScript module, with its parts as children; it shares its weights.

    A part whose graph branches or loops runs whole: its own parts cannot be read.
    """

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.scripts: tuple[Any, ...] = (script,)  # In a tuple, so that it is not a child.
        for name, parameter in script.named_parameters(recurse=False):
            self.register_parameter(name, nn.Parameter(parameter, parameter.requires_grad))
            self._parameters[name] = parameter
        for name, buffer in script.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        for name, child in script.named_children():
            self.add_module(name, ScriptPart(child))
        self.training = False

    def extra_repr(self) -> str:
        """Tells modules apart that compute different things: fingerprints hold the printed form of a module."""
        # Without numbers of this process and lines of source files.
        return content_id(re.sub(r"___torch_mangle_[0-9]+\.?| #.*", "", self.code).encode())

    @property
    def code(self) -> str:
        """The graphs of its methods as text."""
        compiled = self.scripts[0]._c
        return "".join(str(compiled._get_method(name).graph) for name in sorted(compiled._method_names()))

    @property
    def hides_parts(self) -> bool:
        """True if it has parts that cannot be read."""
        compiled = self.scripts[0]._c
        graphs = [compiled._get_method(name).graph for name in compiled._method_names()]
        return any(True for _ in self.children()) and not all(
            _is_readable(n) for graph in graphs for n in graph.nodes()
        )

    def forward(self, *args: Any, method: str = "forward") -> Any:
        """Runs a method of the module: a part that runs several times has one for each time."""
        compiled = self.scripts[0]._c._get_method(method)
        graph = compiled.graph
        if not all(map(_is_readable, graph.nodes())):
            return compiled(*args)
        values = dict(zip((value.debugName() for value in graph.inputs()), (self, *args), strict=True))
        for node in graph.nodes():
            result = self._result(node, [values[value.debugName()] for value in node.inputs()])
            names = [value.debugName() for value in node.outputs()]
            values.update(zip(names, [result] if len(names) == 1 else result, strict=True))
        outputs = tuple(values[value.debugName()] for value in graph.outputs())
        return outputs[0] if len(outputs) == 1 else outputs

    def _result(self, node: Any, inputs: list[Any]) -> Any:
        kind = node.kind()
        if kind in STRUCTURE:
            return STRUCTURE[kind](inputs)
        if kind == "prim::Constant":
            return next(iter(node.outputs())).toIValue()
        if kind == "prim::GetAttr":
            owner, name = inputs[0], node.s("name")
            return getattr(owner, name) if hasattr(owner, name) else getattr(owner.scripts[0], name)
        if kind == "prim::CallMethod":
            call = self.forward if inputs[0] is self else inputs[0]  # A step of its own is not another run of it.
            return call(*inputs[1:], method=node.s("name"))
        schema = torch._C.parse_schema(node.schema())
        operator = getattr(getattr(torch.ops.aten, kind.removeprefix("aten::")), schema.overload_name or "default")
        by_name = {a.name: value for a, value in zip(schema.arguments, inputs, strict=True) if a.kwarg_only}
        return operator(*inputs[: len(inputs) - len(by_name)], **by_name)


def _is_readable(node: Any) -> bool:
    kind = node.kind()
    if kind.startswith("aten::"):
        return not re.search(r"\bt\[", node.schema())  # Python cannot call operators on lists of any type.
    return kind in STRUCTURE or kind in REFERENCES
