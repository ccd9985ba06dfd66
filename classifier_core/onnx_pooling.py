"""Average pooling to a fixed size for torch's tracing ONNX exporter, which can only do it where the size divides."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import onnx

_NAME = "::adaptive_avg_pool2d"


@contextmanager
def pooling_of_any_size(opset: int) -> Iterator[None]:
    """Inside, AlexNet (6x6 before its head) and VGG (7x7) export for every picture size, not for a few."""
    onnx.register_custom_op_symbolic(_NAME, _export_pooling, opset)  # type: ignore[attr-defined]  # public by documentation
    try:
        yield
    finally:
        onnx.unregister_custom_op_symbolic(_NAME, opset)  # type: ignore[attr-defined]


@onnx.symbolic_helper.parse_args("v", "is")
def _export_pooling(graph: Any, images: Any, output_size: list[int]) -> Any:
    if output_size == [1, 1]:
        return graph.op("GlobalAveragePool", images)
    # Averages over rows, then over columns: two products with constant matrices.
    height, width = onnx.symbolic_helper._get_tensor_sizes(images)[2:]
    rows = graph.op("Constant", value_t=averaging_matrix(height, output_size[0]))
    columns = graph.op("Constant", value_t=averaging_matrix(width, output_size[1]).T.contiguous())
    return graph.op("MatMul", graph.op("MatMul", rows, images), columns)


def averaging_matrix(length: int, parts: int) -> torch.Tensor:
    """[parts, length], float32: row i averages the places from floor(i * length / parts) to ceil((i + 1) * ...).

    The same places as in torch's AdaptiveAvgPool2d, aten/src/ATen/native/AdaptivePooling.h.
    """
    matrix = torch.zeros(parts, length)
    for part in range(parts):
        start, end = part * length // parts, -((part + 1) * length // -parts)
        matrix[part, start:end] = 1 / (end - start)
    return matrix
