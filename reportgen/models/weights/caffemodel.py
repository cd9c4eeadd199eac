"""Caffe's .caffemodel: a NetParameter message with the layers' blobs.

Only the few fields of caffe.proto that hold weights are described here, with its numbers:
https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto
Names and layouts are given as PyTorch's (``conv1.weight``: output, input, height, width).
"""

from __future__ import annotations

from functools import cache, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

from reportgen.core.errors import WeightsError
from reportgen.models.weights.checkpoint import Checkpoint, Tensor, held, reading

KIND = "Caffe .caffemodel"
_FIELD = descriptor_pb2.FieldDescriptorProto
# Of V1LayerParameter.LayerType.
_OLD_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}


def read(path: Path) -> Checkpoint:
    """The blobs by layer, made arrays when asked for; a Scale is merged into its BatchNorm.

    Raises:
      WeightsError: if the file is damaged or of Caffe's first format.
    """
    tensors: dict[str, Tensor] = {}
    with reading(path, KIND):
        net = _parsed(path.read_bytes())
    if any(layer.HasField("layer") for layer in net.layers):
        raise WeightsError(
            f"{path} is in Caffe's first format (V0).",
            "Convert it with Caffe's upgrade_net_proto_binary.",
        )
    if not _layers(net):
        raise WeightsError(f"{path} holds no layers: it is not a .caffemodel file, or is empty.")
    norms: dict[str, str] = {}  # blob that a BatchNorm made last, to that BatchNorm's name
    for layer in _layers(net):
        kind = _OLD_TYPES.get(layer.type, "") if isinstance(layer.type, int) else layer.type
        name = layer.name
        if kind == "Scale" and layer.bottom and layer.bottom[0] in norms:
            name = norms[layer.bottom[0]]
        for top in layer.top:
            norms.pop(top, None)
        if kind == "BatchNorm":
            norms.update(dict.fromkeys(layer.top, layer.name))
        with reading(path, KIND):
            for leaf, tensor in _tensors(path, kind, layer):
                tensors[f"{name}.{leaf}"] = tensor
    return Checkpoint(KIND, tensors)


def _parsed(data: bytes) -> Any:
    for packed in (True, False):
        net = _message(packed=packed).FromString(data)
        # Floats declared as bytes are not copied one by one; files that were not packed need it.
        single, double = (4, 8) if packed else (1, 1)
        short = [
            layer.name
            for layer in _layers(net)
            for blob in layer.blobs
            if prod(_shape(blob)) not in (len(blob.data) / single, len(blob.double_data) / double)
        ]
        if not short:
            return net
    raise ValueError(f"layer {short[0]!r} has fewer or more values than its shape has")


def _layers(net: Any) -> list[Any]:
    return [*net.layers, *net.layer]


def _tensors(path: Path, kind: str, layer: Any) -> list[tuple[str, Tensor]]:
    blobs = list(layer.blobs)
    if kind == "BatchNorm":
        # Sums over an exponential window, and the window's weight: zero before any training.
        mean, variance, weight = (_values(blob).ravel() for blob in blobs)
        factor = 0.0 if weight[0] == 0 else 1.0 / weight[0]
        return [("running_mean", held(mean * factor)), ("running_var", held(variance * factor))]
    named = []
    for place, blob in enumerate(blobs):
        leaf = ("weight", "bias")[place] if place < 2 else str(place)
        shape = _shape(blob)
        if place == 0 and kind == "InnerProduct":
            shape = shape[-2:]
        elif place == 1 and kind in _OLD_TYPES.values():
            shape = shape[-1:]
        dtype = "float64" if blob.double_data else "float32"
        turned = place == 0 and kind == "InnerProduct" and layer.inner_product_param.transpose
        given = shape[::-1] if turned else shape
        named.append((leaf, Tensor(given, dtype, partial(_reshaped, path, blob, shape, turned))))
    return named


def _reshaped(path: Path, blob: Any, shape: tuple[int, ...], turned: bool) -> np.ndarray:
    with reading(path, KIND):
        values = _values(blob).reshape(shape)
    return values.T if turned else values


def _shape(blob: Any) -> tuple[int, ...]:
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return (blob.num, blob.channels, blob.height, blob.width)


def _values(blob: Any) -> np.ndarray:
    data, dtype = (blob.double_data, "<f8") if blob.double_data else (blob.data, "<f4")
    flat = np.frombuffer(data, dtype) if isinstance(data, bytes) else np.array(data, dtype)
    return flat.reshape(_shape(blob))


@cache
def _message(*, packed: bool) -> Any:
    """The class of NetParameter; with ``packed`` the floats of a blob are one string of bytes."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"reportgen_caffe_{packed}.proto", package=f"reportgen_caffe_{packed}", syntax="proto2"
    )

    def declare(message: str, *fields: tuple[str, int, Any, bool]) -> None:
        described = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            field = described.field.add(name=name, number=number)
            field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{file.package}.{kind}"
            else:
                field.type = kind

    one, text, floats = _FIELD.TYPE_INT64, _FIELD.TYPE_STRING, not packed
    declare("BlobShape", ("dim", 1, one, True))
    declare(
        "BlobProto",
        ("num", 1, one, False),
        ("channels", 2, one, False),
        ("height", 3, one, False),
        ("width", 4, one, False),
        ("data", 5, _FIELD.TYPE_FLOAT if floats else _FIELD.TYPE_BYTES, floats),
        ("shape", 7, "BlobShape", False),
        ("double_data", 8, _FIELD.TYPE_DOUBLE if floats else _FIELD.TYPE_BYTES, floats),
    )
    declare("InnerProductParameter", ("transpose", 6, _FIELD.TYPE_BOOL, False))
    declare(
        "LayerParameter",
        ("name", 1, text, False),
        ("type", 2, text, False),
        ("bottom", 3, text, True),
        ("top", 4, text, True),
        ("blobs", 7, "BlobProto", True),
        ("inner_product_param", 117, "InnerProductParameter", False),
    )
    declare(
        "V1LayerParameter",
        ("layer", 1, _FIELD.TYPE_BYTES, False),
        ("bottom", 2, text, True),
        ("top", 3, text, True),
        ("name", 4, text, False),
        ("type", 5, _FIELD.TYPE_INT32, False),
        ("blobs", 6, "BlobProto", True),
        ("inner_product_param", 17, "InnerProductParameter", False),
    )
    declare(
        "NetParameter",
        ("name", 1, text, False),
        ("layers", 2, "V1LayerParameter", True),
        ("layer", 100, "LayerParameter", True),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{file.package}.NetParameter")
    )
