"""Caffe's .caffemodel, written with protobuf under the numbers of Caffe's published caffe.proto."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from reportgen.core.errors import WeightsError
from reportgen.models.weights.load import Placed, place_file, read
from tests.models.weights.sample import MAP, NAMING, OWN, build, equal, shapes_of, values

EXPECTED = values(build())
# The part of caffe.proto that holds weights; PACKED stands for how the floats are written.
PROTO = """
name: "caffe.proto" package: "caffe" syntax: "proto2"
message_type { name: "BlobShape"
  field { name: "dim" number: 1 type: TYPE_INT64 label: LABEL_REPEATED options { packed: true } } }
message_type { name: "BlobProto"
  field { name: "num" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "channels" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "height" number: 3 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "width" number: 4 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "data" number: 5 type: TYPE_FLOAT label: LABEL_REPEATED
    options { packed: PACKED } }
  field { name: "diff" number: 6 type: TYPE_FLOAT label: LABEL_REPEATED
    options { packed: PACKED } }
  field { name: "shape" number: 7 type: TYPE_MESSAGE type_name: ".caffe.BlobShape"
    label: LABEL_OPTIONAL }
  field { name: "double_data" number: 8 type: TYPE_DOUBLE label: LABEL_REPEATED
    options { packed: PACKED } } }
message_type { name: "InnerProductParameter"
  field { name: "transpose" number: 6 type: TYPE_BOOL label: LABEL_OPTIONAL } }
message_type { name: "LayerParameter"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "type" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "bottom" number: 3 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "top" number: 4 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "blobs" number: 7 type: TYPE_MESSAGE type_name: ".caffe.BlobProto"
    label: LABEL_REPEATED }
  field { name: "inner_product_param" number: 117 type: TYPE_MESSAGE
    type_name: ".caffe.InnerProductParameter" label: LABEL_OPTIONAL } }
message_type { name: "V0LayerParameter"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "V1LayerParameter"
  enum_type { name: "LayerType"
    value { name: "NONE" number: 0 } value { name: "CONVOLUTION" number: 4 }
    value { name: "DATA" number: 5 } value { name: "INNER_PRODUCT" number: 14 } }
  field { name: "layer" number: 1 type: TYPE_MESSAGE type_name: ".caffe.V0LayerParameter"
    label: LABEL_OPTIONAL }
  field { name: "bottom" number: 2 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "top" number: 3 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "name" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "type" number: 5 type: TYPE_ENUM type_name: ".caffe.V1LayerParameter.LayerType"
    label: LABEL_OPTIONAL }
  field { name: "blobs" number: 6 type: TYPE_MESSAGE type_name: ".caffe.BlobProto"
    label: LABEL_REPEATED }
  field { name: "inner_product_param" number: 17 type: TYPE_MESSAGE
    type_name: ".caffe.InnerProductParameter" label: LABEL_OPTIONAL } }
message_type { name: "NetParameter"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "layers" number: 2 type: TYPE_MESSAGE type_name: ".caffe.V1LayerParameter"
    label: LABEL_REPEATED }
  field { name: "layer" number: 100 type: TYPE_MESSAGE type_name: ".caffe.LayerParameter"
    label: LABEL_REPEATED } }
"""
OLD_TYPES = {"Data": 5, "Convolution": 4, "InnerProduct": 14}


@cache
def _net_class(packed: bool) -> Any:
    file = descriptor_pb2.FileDescriptorProto()
    text_format.Parse(PROTO.replace("PACKED", str(packed).lower()), file)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


class Writer:
    """A NetParameter under construction."""

    def __init__(self, *, old: bool = False, packed: bool = True, legacy: bool = False) -> None:
        self.net = _net_class(packed)(name="sample")
        self.old = old
        self.legacy = legacy

    def layer(self, name: str, kind: str, bottom: str, top: str, *blobs: np.ndarray) -> None:
        layers = self.net.layers if self.old else self.net.layer
        made = layers.add(name=name, type=OLD_TYPES[kind] if self.old else kind)
        made.bottom.append(bottom)
        made.top.append(top)
        for values_ in blobs:
            blob = made.blobs.add()
            if self.legacy:
                sides = (1,) * (4 - values_.ndim) + values_.shape
                blob.num, blob.channels, blob.height, blob.width = sides
            else:
                blob.shape.dim.extend(values_.shape)
            data = blob.double_data if values_.dtype == np.float64 else blob.data
            data.extend(values_.ravel().tolist())
            blob.diff.extend([0.0] * (values_.size if values_.dtype == np.float32 else 0))

    def save(self, path: Path) -> Path:
        path.write_bytes(self.net.SerializeToString())
        return path


def _oihw(name: str) -> np.ndarray:
    return np.ascontiguousarray(EXPECTED[name].transpose(3, 2, 0, 1))


def _dense(name: str) -> np.ndarray:
    """(H * W * C, out) to Caffe's (out, C * H * W)."""
    kernel = EXPECTED[name].reshape(*MAP, -1).transpose(3, 2, 0, 1)
    return np.ascontiguousarray(kernel.reshape(kernel.shape[0], -1))


def _sample(path: Path, **choices: bool) -> Path:
    """The whole sample network, with Caffe's two layers for a batch norm."""
    writer = Writer(**choices)
    writer.layer("conv1", "Convolution", "data", "conv1", _oihw("conv.kernel"), _bias("conv"))
    half = np.array([0.5], np.float32)
    statistics = (EXPECTED["bn.mean"] * np.float32(0.5), EXPECTED["bn.var"] * np.float32(0.5))
    writer.layer("bn_conv1", "BatchNorm", "conv1", "conv1", *statistics, half)
    writer.layer("scale_conv1", "Scale", "conv1", "conv1", EXPECTED["bn.scale"], _bias("bn"))
    writer.layer("relu", "ReLU", "conv1", "conv1")
    writer.layer("conv2/dw", "Convolution", "conv1", "conv2", _oihw("dw.kernel"), _bias("dw"))
    writer.layer("ip1", "InnerProduct", "conv2", "ip1", _dense("fc.kernel"), _bias("fc"))
    return writer.save(path)


def _bias(layer: str) -> np.ndarray:
    return EXPECTED[f"{layer}.bias"]


def placed(path: Path) -> Placed:
    return place_file(path, shapes_of(EXPECTED), NAMING, strict=True)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_every_blob_comes_back_in_the_networks_layout(
    packed: bool, legacy: bool, tmp_path: Path
) -> None:
    """Also what was saved float by float, and with the four sides of a blob in old fields."""
    found = placed(_sample(tmp_path / "w.caffemodel", packed=packed, legacy=legacy))
    equal(found.parameters, EXPECTED)
    assert (found.format, found.scheme) == ("Caffe .caffemodel", "caffe")


@pytest.mark.parametrize("packed", [True, False])
def test_the_format_of_2013_to_2015_is_read(packed: bool, tmp_path: Path) -> None:
    names = ("conv.kernel", "conv.bias", "fc.kernel", "fc.bias")
    expected = {name: EXPECTED[name] for name in names}
    writer = Writer(old=True, legacy=True, packed=packed)
    writer.layer("data", "Data", "", "data")
    writer.layer("conv1", "Convolution", "data", "conv1", _oihw("conv.kernel"), _bias("conv"))
    writer.layer("ip1", "InnerProduct", "conv1", "ip1", _dense("fc.kernel"), _bias("fc"))
    path = writer.save(tmp_path / "w.caffemodel")
    equal(place_file(path, shapes_of(expected), NAMING, strict=True).parameters, expected)
    tensors = read(path).tensors
    assert tensors["ip1.weight"].shape == (5, 128)
    assert tensors["conv1.weight"].shape == (4, 3, 3, 3)


def test_a_square_inner_product_is_transposed(tmp_path: Path) -> None:
    """A square one has the same shape either way, so that only its values tell."""
    kernel = np.arange(9, dtype=np.float32).reshape(3, 3)
    writer = Writer()
    writer.layer("ip", "InnerProduct", "data", "ip", kernel)
    shapes = shapes_of({"ip.kernel": kernel})
    found = place_file(writer.save(tmp_path / "w"), shapes, OWN, strict=True)
    np.testing.assert_array_equal(found.parameters["ip.kernel"], kernel.T)


@pytest.mark.parametrize("old", [True, False])
def test_an_inner_product_that_keeps_its_weights_transposed(old: bool, tmp_path: Path) -> None:
    """``inner_product_param { transpose: true }``: (input, output), as here."""
    kernel = np.arange(9, dtype=np.float32).reshape(3, 3)
    writer = Writer(old=old)
    writer.layer("ip", "InnerProduct", "data", "ip", kernel)
    layers = writer.net.layers if old else writer.net.layer
    layers[0].inner_product_param.transpose = True
    shapes = shapes_of({"ip.kernel": kernel})
    found = place_file(writer.save(tmp_path / "w"), shapes, OWN, strict=True)
    np.testing.assert_array_equal(found.parameters["ip.kernel"], kernel)


def test_doubles_are_read(tmp_path: Path) -> None:
    writer = Writer()
    writer.layer("ip", "InnerProduct", "data", "ip", np.array([[0.1, 0.2]]))
    tensor = read(writer.save(tmp_path / "w.caffemodel")).tensors["ip.weight"]
    assert tensor.dtype == "float64"
    np.testing.assert_array_equal(tensor.read(), [[0.1, 0.2]])


def test_a_batch_norm_that_saw_nothing_has_zero_statistics(tmp_path: Path) -> None:
    """Caffe divides by the window's weight, and takes its inverse as zero where it is zero."""
    writer = Writer()
    three = np.ones(3, np.float32)
    writer.layer("bn", "BatchNorm", "data", "bn", three, three, np.zeros(1, np.float32))
    tensors = read(writer.save(tmp_path / "w.caffemodel")).tensors
    np.testing.assert_array_equal(tensors["bn.running_mean"].read(), np.zeros(3))
    np.testing.assert_array_equal(tensors["bn.running_var"].read(), np.zeros(3))


def test_a_scale_apart_from_a_batch_norm_keeps_its_name(tmp_path: Path) -> None:
    """After a rectifier the blob is no longer the batch norm's."""
    writer = Writer()
    three = np.ones(3, np.float32)
    writer.layer("bn", "BatchNorm", "data", "bn", three, three, np.ones(1, np.float32))
    writer.layer("relu", "ReLU", "bn", "bn")
    writer.layer("own", "Scale", "bn", "own", three, three)
    assert set(read(writer.save(tmp_path / "w.caffemodel")).tensors) == {
        "bn.running_mean",
        "bn.running_var",
        "own.weight",
        "own.bias",
    }


def test_the_first_format_is_refused_with_the_tool_that_converts_it(tmp_path: Path) -> None:
    net = _net_class(True)(name="old")
    net.layers.add().layer.name = "conv1"
    (path := tmp_path / "w.caffemodel").write_bytes(net.SerializeToString())
    with pytest.raises(WeightsError, match="upgrade_net_proto_binary"):
        read(path)


def test_a_blob_with_too_few_values_is_named_as_damage(tmp_path: Path) -> None:
    writer = Writer()
    writer.layer("ip", "InnerProduct", "data", "ip", np.ones((2, 3), np.float32))
    del writer.net.layer[0].blobs[0].data[4:]
    with pytest.raises(WeightsError, match=r"not a whole Caffe \.caffemodel file"):
        read(writer.save(tmp_path / "w.caffemodel"))
