"""The classic networks have the layers, shapes and names that they are known by; no weights."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from reportgen.config import read
from reportgen.models.load import open_network
from tests.peers.classic import NETWORKS, SCHEMES

# Without batch statistics: as torchvision lists them, and as Caffe's files hold them.
COUNTS = {
    "caffenet": 60_965_224,
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "googlenet": 6_998_552,
    "googlenet_bn": 6_624_904,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
}
# What Caffe's notebook prints for its CaffeNet with a batch of 50: blobs (N, C, H, W) and
# parameters (O, I, H, W).
CAFFENET_BLOBS = {
    "conv1": (50, 96, 55, 55),
    "pool1": (50, 96, 27, 27),
    "norm1": (50, 96, 27, 27),
    "conv2": (50, 256, 27, 27),
    "pool2": (50, 256, 13, 13),
    "norm2": (50, 256, 13, 13),
    "conv3": (50, 384, 13, 13),
    "conv4": (50, 384, 13, 13),
    "conv5": (50, 256, 13, 13),
    "pool5": (50, 256, 6, 6),
    "fc6": (50, 4096),
    "fc7": (50, 4096),
    "fc8": (50, 1000),
    "prob": (50, 1000),
}
CAFFENET_PARAMETERS = {
    "conv1": ((96, 3, 11, 11), (96,)),
    "conv2": ((256, 48, 5, 5), (256,)),
    "conv3": ((384, 256, 3, 3), (384,)),
    "conv4": ((384, 192, 3, 3), (384,)),
    "conv5": ((256, 192, 3, 3), (256,)),
    "fc6": ((4096, 9216), (4096,)),
    "fc7": ((4096, 4096), (4096,)),
    "fc8": ((1000, 4096), (1000,)),
}
# Layers with weights in the order of Caffe's files.
_FIRES = " ".join(f"fire{i}/squeeze1x1 fire{i}/expand1x1 fire{i}/expand3x3" for i in range(2, 10))
_INCEPTIONS = " ".join(
    f"inception_{i}/{conv}"
    for i in ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
    for conv in ["1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj"]
)
CAFFE_NAMES = {
    "caffenet": "conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8",
    "vgg16": "conv1_1 conv1_2 conv2_1 conv2_2 conv3_1 conv3_2 conv3_3 conv4_1 conv4_2 conv4_3 "
    "conv5_1 conv5_2 conv5_3 fc6 fc7 fc8",
    "vgg19": "conv1_1 conv1_2 conv2_1 conv2_2 conv3_1 conv3_2 conv3_3 conv3_4 conv4_1 conv4_2 "
    "conv4_3 conv4_4 conv5_1 conv5_2 conv5_3 conv5_4 fc6 fc7 fc8",
    "googlenet": f"conv1/7x7_s2 conv2/3x3_reduce conv2/3x3 {_INCEPTIONS} loss3/classifier",
    "squeezenet1_0": f"conv1 {_FIRES} conv10",
    "squeezenet1_1": f"conv1 {_FIRES} conv10",
}


@pytest.fixture(scope="module")
def model(composed: Callable[..., Any]) -> Callable[..., Any]:
    """A model whose parameters are shapes only, by its name and overrides."""

    @cache
    def make(name: str, *more: str) -> Any:
        network = open_network(read(composed(f"model={name}", "weights=random", *more)))
        return network.with_weights(network.adapted.shapes)

    return make


@cache
def seven(name: str) -> Any:
    """A network of seven classes without weights; what its layers are called is the same."""
    return nnx.eval_shape(lambda: NETWORKS[name](classes=7, rngs=nnx.Rngs(0)))


def _outputs(model: Any, *shape: int) -> dict[str, tuple[int, ...]]:
    """Every layer's shape for inputs of a shape, and the logits' under an empty name."""

    def run(m: Any, x: jax.Array) -> dict[str, jax.Array]:
        logits, activations = m.apply(x)
        return {"": logits, **activations}

    seen = jax.eval_shape(run, model, jax.ShapeDtypeStruct(shape, jnp.float32))
    return {path: array.shape for path, array in seen.items()}


def _layers_with_weights(model: Any) -> list[str]:
    return [layer.path for layer in model.layers if layer.parameters]


@pytest.mark.parametrize("name", COUNTS)
def test_number_of_parameters(name: str, model: Any) -> None:
    parameters = model(name).parameters.items()
    learnt = [v.shape for key, v in parameters if key.rpartition(".")[2] not in ("mean", "var")]
    assert sum(prod(shape) for shape in learnt) == COUNTS[name]


def test_caffenet_is_what_caffes_notebook_prints(model: Any) -> None:
    caffenet = model("caffenet")
    seen = _outputs(caffenet, 50, 227, 227, 3)
    in_caffes_order = {path: (s[0], s[-1], *s[1:-1]) if s[1:-1] else s for path, s in seen.items()}
    assert {path: in_caffes_order[path] for path in CAFFENET_BLOBS} == CAFFENET_BLOBS
    # In the order of the network: it pools before it normalises.
    order = [layer.path for layer in caffenet.layers]
    assert [path for path in order if path in CAFFENET_BLOBS] == list(CAFFENET_BLOBS)
    shapes = {}
    for path in _layers_with_weights(caffenet):
        kernel = caffenet.parameters[f"{path}.kernel"].shape
        shapes[path] = (kernel[::-1][:2] + kernel[:-2], caffenet.parameters[f"{path}.bias"].shape)
    assert shapes == CAFFENET_PARAMETERS


@pytest.mark.parametrize("name", CAFFE_NAMES)
def test_names_in_caffe(name: str, model: Any) -> None:
    caffe = seven(name).published()["caffe"]
    assert [caffe[path] for path in _layers_with_weights(model(name))] == CAFFE_NAMES[name].split()


@pytest.mark.parametrize("name", COUNTS)
def test_every_scheme_names_every_layer_with_weights_once(name: str, model: Any) -> None:
    seen, module = model(name), seven(name)
    published = module.published()
    assert SCHEMES[name] in published
    for theirs in published.values():
        assert sorted(theirs) == sorted(_layers_with_weights(seen))
        assert len(set(theirs.values())) == len(theirs)
    for path, shape in module.flattened().items():
        assert seen.parameters[f"{path}.kernel"].shape[0] == prod(shape)


@pytest.mark.parametrize("name", COUNTS)
def test_any_number_of_classes(name: str, model: Any) -> None:
    """Of a network's parameters, those of its last layer change, and no others."""
    found = {
        ".".join(map(str, path)): leaf.shape
        for path, leaf in nnx.to_flat_state(nnx.state(seven(name), nnx.Not(nnx.RngState)))
    }
    expected = {path: value.shape for path, value in model(name).parameters.items()}
    last = _layers_with_weights(model(name))[-1]
    for leaf in ("kernel", "bias"):
        assert expected[f"{last}.{leaf}"][-1] == 1000
        expected[f"{last}.{leaf}"] = (*expected[f"{last}.{leaf}"][:-1], 7)
    assert found == expected


def test_the_number_of_classes_comes_from_the_configuration(model: Any) -> None:
    assert len(model("squeezenet1_0", "+model.kwargs.classes=7").classes) == 7


@pytest.mark.parametrize("name", ["googlenet", "googlenet_bn", "squeezenet1_0", "squeezenet1_1"])
def test_networks_without_flattening_take_any_size(name: str, model: Any) -> None:
    assert not model(name).spec.fixed_size
    assert _outputs(model(name), 1, 160, 299, 3)[""] == (1, 1000)


@pytest.mark.parametrize("name", ["caffenet", "alexnet", "vgg16", "vgg19"])
def test_networks_with_flattening_say_so(name: str, model: Any) -> None:
    assert model(name).spec.fixed_size


def test_squeezenet_as_in_caffe_pads_its_last_convolution(model: Any) -> None:
    """The authors' deploy.prototxt of 1.0 has ``pad: 1`` there; torchvision's network has not."""
    plain = _outputs(model("squeezenet1_0"), 1, 227, 227, 3)
    assert plain["conv10"] == (1, 13, 13, 1000)
    padded = model("squeezenet1_0", "+model.kwargs.head_padding=1")
    assert _outputs(padded, 1, 227, 227, 3)["conv10"] == (1, 15, 15, 1000)


def test_kinds(model: Any) -> None:
    kinds = {layer.path: layer.kind for layer in model("googlenet").layers}
    expected = {
        "conv1.7x7_s2": "conv",
        "pool1.norm1": "norm",
        "inception_3a.pool": "pool",
        "inception_3a.5x5": "conv",
        "inception_3a": "block",
        "pool5.7x7_s1": "pool",
        "pool5.drop_7x7_s1": "dropout",
        "loss3.classifier": "dense",
        "prob": "softmax",
    }
    assert expected.items() <= kinds.items()
    kinds = {layer.path: layer.kind for layer in model("vgg16").layers}
    assert [kinds[path] for path in ("block5_pool", "flatten", "fc1")] == [
        *("pool", "flatten", "dense")
    ]


@pytest.mark.parametrize(
    ("name", "unused"),
    [
        ("googlenet", ["loss1/conv.weight", "loss1/fc.bias", "loss2/classifier.weight"]),
        ("googlenet_bn", ["aux1.conv.conv.weight", "aux1.fc1.bias", "aux2.fc2.weight"]),
    ],
)
def test_auxiliary_classifiers_are_known(name: str, unused: list[str]) -> None:
    module = seven(name)
    for tensor in unused:
        assert any(fnmatch(tensor, glob) for glob in module.ignored())
    for prefix in module.published()[SCHEMES[name]].values():
        assert not any(fnmatch(f"{prefix}.weight", glob) for glob in module.ignored())
