"""int8: an exported network quantised after training by onnxruntime, which places Q/DQ where its kernels want them."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from xkd.deploy.card import INPUT, needs_of
from xkd.deploy.export import Network, with_card

Target = Literal["processors", "tensorrt"]
_WEIGHED: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ROUNDS: Final = 5
_RUNS: Final = 40


def rounded(network: Network, images: Sequence[NDArray[Any]], target: Target) -> Network:
    """The network in int8, its activations' ranges from batches of `images` as it takes them; its card says int8, scores are the float's.

    Weights are signed, with a scale per channel. For "processors" activations are unsigned, three times as fast on x86 with VNNI; for
    "tensorrt" they are signed and symmetric, and biases stay floats. What follows the last weights (a softmax, units, coordinates of
    boxes) stays float. Batch norm is folded, since rounded weights before it would keep it. An int8 network's answers may be as far from
    those of another processor as they are from the float's.
    """
    signed = target == "tensorrt"
    extra = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False} if signed else {}
    with tempfile.TemporaryDirectory() as folder:
        before, ready, after = (Path(folder) / f"{name}.onnx" for name in ("before", "ready", "after"))
        before.write_bytes(network.content)
        quant_pre_process(str(before), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(after),
            _Batches(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=behind_the_weights(onnx.load(ready).graph),
            extra_options=extra,
        )
        model = onnx.load(after)
    used = {node.domain or "" for node in model.graph.node}
    kept = [entry for entry in model.opset_import if (entry.domain if entry.domain != "ai.onnx" else "") in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    card = replace(network.card, precision="int8", needs=needs_of(model))
    return replace(network, content=with_card(model, card), card=card)


def behind_the_weights(graph: Any) -> list[str]:
    """Names of the nodes whose results reach no layer with weights."""
    makers = {output: node for node in graph.node for output in node.output}
    inside: set[str] = set()
    todo = [node for node in graph.node if node.op_type in _WEIGHED]
    while todo:
        node = todo.pop()
        if node.name not in inside:
            inside.add(node.name)
            todo.extend(makers[name] for name in node.input if name in makers)
    return [node.name for node in graph.node if node.name not in inside]


class _Batches:
    """As `quantize_static` asks for them."""

    def __init__(self, images: Iterable[NDArray[Any]]) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        batch = next(self._left, None)
        return None if batch is None else {INPUT: batch}


def session_of(content: bytes, threads: int = 1) -> Any:
    """onnxruntime's, on the processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def milliseconds(contents: Mapping[str, bytes], image: NDArray[Any]) -> dict[str, float]:
    """Of each network for one image (1, C, H, W), one thread: in turn, of five rounds the least median, as other work disturbs some."""
    sessions = {name: session_of(content) for name, content in contents.items()}
    medians: dict[str, list[float]] = {name: [] for name in contents}
    for _ in range(_ROUNDS):
        for name, session in sessions.items():
            times = [time.perf_counter()]
            for _ in range(_RUNS):
                session.run(None, {INPUT: image})
                times.append(time.perf_counter())
            medians[name].append(1000 * float(np.median(np.diff(times))))
    return {name: min(values) for name, values in medians.items()}


def told(network: Network, facts: Mapping[str, Any], metrics: Mapping[str, float]) -> Network:
    """The network with its own scores in its card, and `facts` on how it compares with the float one."""
    card = replace(network.card, metrics=dict(metrics), quantisation=json.loads(json.dumps(facts)))
    return replace(network, content=with_card(onnx.load_model_from_string(network.content), card), card=card)
