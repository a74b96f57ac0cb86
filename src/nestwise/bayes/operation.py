"""A log density as one PyTensor operation, value and gradient from one compiled kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op


class LogDensity(Op):  # type: ignore[misc]
    """A log density with its derivatives by its first `parameters` inputs; the others are data.

    Outputs: the log density, then the derivatives, of which only the first has a gradient of its own.
    """

    __props__ = ()
    parameters: ClassVar[int]
    kernel: ClassVar[Callable[..., tuple[Any, ...]]]
    """The compiled function of all inputs, a `staticmethod`."""

    def make_node(self, *inputs: Any) -> Apply:
        """Wire the operation into a graph."""
        variables = [pt.as_tensor_variable(value) for value in inputs]
        outputs = [pt.dscalar(), *(variable.type() for variable in variables[: self.parameters])]
        return Apply(self, variables, outputs)

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]) -> None:
        """Evaluate outside compiled graphs."""
        del node
        for storage, value in zip(output_storage, self.kernel(*inputs), strict=True):
            storage[0] = value

    def infer_shape(self, node: Apply, shapes: Sequence[Any]) -> list[Any]:
        """Shapes of the outputs: a scalar, then those of the parameters."""
        del node
        return [(), *shapes[: self.parameters]]

    def pullback(
        self, inputs: Sequence[Variable], outputs: Sequence[Variable], cotangents: Sequence[Variable]
    ) -> list[Variable]:
        """Gradient of the log density: the other outputs."""
        gradients = [cotangents[0] * output for output in outputs[1:]]
        return [*gradients, *(disconnected_type() for _ in inputs[self.parameters :])]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Only the log density depends, differentiably, on the parameters."""
        others = [False] * self.parameters
        return [[at < self.parameters, *others] for at in range(len(node.inputs))]
