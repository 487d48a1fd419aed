"""Operations and networks in ONNX, run by onnxruntime."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.cost.latency.calls import Call
from autoprune.cost.latency.clock import Work
from autoprune.data.task import Batch, Task, arguments
from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed
from autoprune.networks.execution import mode
from autoprune.structure.graph import quiet

PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")

Shape = tuple[int, ...]


class Node(NamedTuple):
    """An ONNX node: the shapes of its inputs and of its weights, and its attributes."""

    kind: str
    fed: Sequence[Shape]
    weights: Sequence[Shape]
    attributes: dict[str, Any]


def require_onnx() -> None:
    """Raise UsageError, naming the extra, unless ONNX can be written and run here."""
    for package in PACKAGES:
        if find_spec(package) is None:
            raise UsageError(f"{package} is not installed", "pip install 'autoprune[onnx]'")


def version() -> str:
    """Return the version of onnxruntime."""
    return str(import_module("onnxruntime").__version__)


def network_in_onnx(model: nn.Module, task: Task, batch: Batch) -> Work:
    """Export a network for one batch; calling the result runs it there.

    Raises UsageError for networks that cannot be exported.
    """
    args, kwargs = arguments(task, batch)
    with blamed("the network cannot be exported to onnx"), quiet(), torch.no_grad():
        with mode(model, train=False):
            session = _session(_exported(model, args, kwargs))
    leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    names = [item.name for item in session.get_inputs()]
    fed = {name: leaf.numpy() for name, leaf in zip(names, leaves, strict=True)}
    return lambda: session.run(None, fed)


def _exported(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Trace the network, which takes a tenth of the time; export it where that fails.

    Both run alike in onnxruntime, which folds batch norms and lays out memory itself.
    """
    file: Any = io.BytesIO()
    with suppress(Exception), _traceable():  # whatever a tracer may meet
        torch.onnx.export(model, args, file, kwargs=kwargs, dynamo=False)
        return bytes(file.getvalue())
    program = torch.onnx.export(model, args, kwargs=kwargs, dynamo=True, verbose=False)
    assert program is not None  # noqa: S101
    content: bytes = program.model_proto.SerializeToString()
    return content


@contextmanager
def _traceable() -> Iterator[None]:
    """Let torch trace attention operator by operator, and print no graph that it cannot export.

    The one operator of its fast path has no form in ONNX. The graph would go to standard output,
    pages of it, though another way follows.
    """
    fast, printer = torch.backends.mha.get_fastpath_enabled(), torch._C._jit_onnx_log
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._jit_onnx_log = _print_nothing  # its own switch is turned on, whatever was asked
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch._C._jit_onnx_log = printer


def _print_nothing(*parts: object) -> None:
    """Take the place of the printer of graphs."""


def operation_in_onnx(call: Call, sizes: Sequence[int]) -> Work | None:
    """Build a graph of the one operation.

    None for what onnxruntime fuses into its neighbor (activation functions, additions) or needs
    no time for: the whole networks of the calibration account for the rest of it.
    """
    build = _NODES.get(call.name.rpartition(".")[2])
    node = build(*call.arguments(sizes)) if build else None
    return None if node is None else _run(node)


def _run(node: Node) -> Work:
    onnx = import_module("onnx")
    helper, single = onnx.helper, onnx.TensorProto.FLOAT
    random = np.random.default_rng(0)
    fed = {f"x{i}": _random(random, shape) for i, shape in enumerate(node.fed)}
    weights = {f"w{i}": _random(random, shape) for i, shape in enumerate(node.weights)}
    graph = helper.make_graph(
        [helper.make_node(node.kind, [*fed, *weights], ["y"], **node.attributes)],
        "one",
        [helper.make_tensor_value_info(name, single, x.shape) for name, x in fed.items()],
        [helper.make_tensor_value_info("y", single, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = _session(model.SerializeToString())
    return lambda: session.run(None, fed)


def _session(content: bytes) -> Any:
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _random(random: np.random.Generator, shape: Shape) -> Any:
    return random.uniform(0.1, 1.0, shape).astype(np.float32)


def _conv(args: Sequence[Any], kwargs: dict[str, Any]) -> Node | None:
    x, weight, bias, stride, padding, dilation, groups = _filled(
        args, kwargs, "input weight bias stride padding dilation groups", (None, 1, 0, 1, 1)
    )
    if isinstance(padding, str):
        return None
    space = len(weight) - 2
    attributes = {
        "strides": _each(stride, space),
        "pads": _each(padding, space) * 2,
        "dilations": _each(dilation, space),
        "group": groups,
        "kernel_shape": list(weight[2:]),
    }
    return Node("Conv", [x], [weight, *([bias] if bias else [])], attributes)


def _linear(args: Sequence[Any], kwargs: dict[str, Any]) -> Node:
    x, weight, _ = _filled(args, kwargs, "input weight bias", (None,))
    return Node("MatMul", [x], [(weight[1], weight[0])], {})


def _norm(args: Sequence[Any], kwargs: dict[str, Any]) -> Node:
    x, mean = args[:2]
    return Node("BatchNormalization", [x], [mean] * 4, {})


def _pool(kind: str) -> Callable[..., Node]:
    def build(args: Sequence[Any], kwargs: dict[str, Any]) -> Node:
        """Write the node of one call."""
        names = "input kernel_size stride padding"
        x, kernel, stride, padding = _filled(args, kwargs, names, (None, 0))
        space = len(x) - 2
        attributes = {
            "kernel_shape": _each(kernel, space),
            "strides": _each(stride or kernel, space),
            "pads": _each(padding, space) * 2,
        }
        return Node(kind, [x], [], attributes)

    return build


def _cat(args: Sequence[Any], kwargs: dict[str, Any]) -> Node:
    tensors, dim = _filled(args, kwargs, "tensors dim", (0,))
    return Node("Concat", list(tensors), [], {"axis": dim})


def _lstm(args: Sequence[Any], kwargs: dict[str, Any]) -> Node | None:
    x, weights, directions, first = args[0], args[2], 2 if args[7] else 1, args[8]
    if args[4] != 1:  # one node holds one layer
        return None
    steps = (x[1], x[0], x[2]) if first else x
    (gates, inputs), hidden = weights[0], weights[1][1]
    shapes = [(directions, gates, inputs), (directions, gates, hidden), (directions, 2 * gates)]
    way = "bidirectional" if directions == 2 else "forward"
    return Node("LSTM", [steps], shapes, {"hidden_size": hidden, "direction": way})


_NODES: Final[dict[str, Callable[..., Node | None]]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    "linear": _linear,
    "batch_norm": _norm,
    "max_pool2d": _pool("MaxPool"),
    "avg_pool2d": _pool("AveragePool"),
    "cat": _cat,
    "lstm": _lstm,
}


def _filled(args: Sequence[Any], kwargs: dict[str, Any], names: str, last: Sequence[Any]) -> Any:
    """Bring arguments in order; ``last`` are the defaults of the last ones."""
    order = names.split()
    defaults = dict(zip(order[len(order) - len(last) :], last, strict=True))
    given = defaults | dict(zip(order, args, strict=False)) | kwargs
    return [given[name] for name in order]


def _each(value: Any, space: int) -> list[int]:
    return [value] * space if isinstance(value, int) else list(value)
