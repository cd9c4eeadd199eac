"""The networks of the zoo take files as other frameworks name and lay them out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from reportgen.core.errors import WeightsError
from reportgen.models.weights import names
from reportgen.models.weights.layouts import arranged_shape, channels_first
from reportgen.models.weights.load import Naming, place_file
from reportgen.models.zoo.alexnet import AlexNet
from reportgen.models.zoo.caffenet import CaffeNet
from reportgen.models.zoo.convnext import ConvNeXt
from reportgen.models.zoo.googlenet import GoogLeNet
from reportgen.models.zoo.googlenet_bn import GoogLeNetBN
from reportgen.models.zoo.resnet import ResNet
from reportgen.models.zoo.squeezenet import SqueezeNet10, SqueezeNet11
from reportgen.models.zoo.vgg import VGG16, VGG19
from reportgen.models.zoo.vit import ViT
from tests.models.weights.sample import equal
from tests.models.weights.test_caffe import Writer

Build = Callable[[], Any]
RESNET_KERAS = {"version": "v1", "conv_bias": True, "epsilon": 1.001e-5}
NETWORKS: dict[str, Build] = {
    "alexnet": lambda: AlexNet(rngs=nnx.Rngs(0)),
    "caffenet": lambda: CaffeNet(rngs=nnx.Rngs(0)),
    "googlenet": lambda: GoogLeNet(rngs=nnx.Rngs(0)),
    "googlenet_bn": lambda: GoogLeNetBN(rngs=nnx.Rngs(0)),
    "squeezenet1_0": lambda: SqueezeNet10(rngs=nnx.Rngs(0)),
    "squeezenet1_1": lambda: SqueezeNet11(rngs=nnx.Rngs(0)),
    "vgg16": lambda: VGG16(rngs=nnx.Rngs(0)),
    "vgg19": lambda: VGG19(rngs=nnx.Rngs(0)),
    "resnet18": lambda: ResNet(depth=18, rngs=nnx.Rngs(0)),
    "resnet50": lambda: ResNet(depth=50, rngs=nnx.Rngs(0)),
    "resnet152": lambda: ResNet(depth=152, rngs=nnx.Rngs(0)),
    "resnet50_caffe": lambda: ResNet(
        depth=50, version="v1", stem_bias=True, pool_padding=0, rngs=nnx.Rngs(0)
    ),
    "resnet50_keras": lambda: ResNet(depth=50, **RESNET_KERAS, rngs=nnx.Rngs(0)),
    "convnext_tiny": lambda: ConvNeXt(
        depths=(3, 3, 9, 3), widths=(96, 192, 384, 768), rngs=nnx.Rngs(0)
    ),
    "vit_b16": lambda: ViT(
        image=224, patch=16, width=768, depth=12, heads=12, hidden=3072, rngs=nnx.Rngs(0)
    ),
}
CLASSIC = tuple(NETWORKS)[:8]
MODERN = ("resnet18", "resnet50", "resnet152", "convnext_tiny", "vit_b16")
PEERS = dict.fromkeys(CLASSIC, "torch_classic") | dict.fromkeys(MODERN, "torch_modern")


def abstract(name: str) -> tuple[dict[str, jax.ShapeDtypeStruct], Naming]:
    """Shapes of a network's parameters and what it says of other names, without weights."""
    module = nnx.eval_shape(NETWORKS[name])
    state = nnx.state(module, nnx.Not(nnx.RngState))
    shapes = {".".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}
    ignored = tuple(module.ignored()) if hasattr(module, "ignored") else ()
    return shapes, Naming(module.published(), module.flattened(), ignored)


def answer(name: str, parameters: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    """The network's logits with these parameters."""
    graph, state = nnx.split(nnx.eval_shape(NETWORKS[name]))
    filled = []
    for path, leaf in nnx.to_flat_state(state):
        value = leaf.get_value()
        dotted = ".".join(map(str, path))
        if dotted in parameters:
            filled.append((path, parameters[dotted]))
        else:
            is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
            filled.append((path, jax.random.key(0) if is_key else jnp.zeros(value.shape)))
    module = nnx.merge(graph, nnx.from_flat_state(filled))
    module.eval()
    return np.asarray(jax.jit(module.__call__)(jnp.asarray(x)))


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert np.abs(theirs).max() > 0.1
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def images(side: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)


def check(match: names.Match, shapes: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Every parameter has a tensor of a shape that fits, and none is left over."""
    assert match.unused == ()
    assert match.sought == {}
    assert len(set(match.sources.values())) == len(shapes)
    for name, source in match.sources.items():
        first = channels_first(name, source)
        shape = arranged_shape(tuple(found[source].shape), shapes[name].shape, first=first)
        assert shape == shapes[name].shape, (name, source)


@pytest.mark.peer
@pytest.mark.parametrize("name", PEERS)
def test_every_tensor_of_the_published_pytorch_network_has_its_place(name: str) -> None:
    """Names and shapes of a whole state dictionary, without its values."""
    import torch

    peers = __import__(f"tests.peers.{PEERS[name]}", fromlist=[name])
    shapes, naming = abstract(name)
    with torch.device("meta"):
        state = getattr(peers, name)().state_dict()
    match = names.match(tuple(shapes), state, naming.published, naming.ignored, numbered=False)
    check(match, shapes, state)
    assert match.scheme == ("caffe" if name in ("caffenet", "googlenet") else "torchvision")


@pytest.mark.peer
@pytest.mark.parametrize(("name", "side"), [("resnet18", 64), ("squeezenet1_0", 96)])
def test_a_pytorch_file_gives_the_same_logits_here_as_there(
    name: str, side: int, tmp_path: Path
) -> None:
    import torch

    from tests.peers import torch_classic, torch_modern

    torch.manual_seed(0)
    peer = getattr(torch_modern if name == "resnet18" else torch_classic, name)()
    x = torch.from_numpy(images(side).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        for _ in range(3):  # statistics that are not 0 and 1
            peer.train()(torch.randn(x.shape) * 2 + 1)
        expected = peer.eval()(x).numpy()
    save_file({k: v.numpy() for k, v in peer.state_dict().items()}, path := tmp_path / "w")
    shapes, naming = abstract(name)
    found = place_file(path, shapes, naming, strict=True)
    assert found.scheme == "torchvision"
    close(answer(name, found.parameters, images(side)), expected)


@pytest.mark.peer
def test_weights_of_one_version_of_resnet50_do_not_pass_for_the_other(tmp_path: Path) -> None:
    """All names and shapes fit, and every answer would be wrong."""
    import torch

    from tests.peers import torch_modern

    with torch.device("meta"):
        state = torch_modern.resnet50().state_dict()
    zeros = {name: np.zeros(value.shape, np.float16) for name, value in state.items()}
    save_file(zeros, path := tmp_path / "w.safetensors")
    early = nnx.eval_shape(lambda: ResNet(depth=50, version="v1", rngs=nnx.Rngs(0)))
    shapes, _ = abstract("resnet50")
    with pytest.raises(WeightsError, match=r"another version[\s\S]*takes files of: caffe"):
        place_file(path, shapes, Naming(early.published(), {}, ()), strict=True)


def test_a_caffemodel_with_slashes_in_its_names_has_its_place(tmp_path: Path) -> None:
    shapes, naming = abstract("squeezenet1_0")
    draw = np.random.default_rng(0)
    expected = {n: draw.normal(size=s.shape).astype(np.float32) for n, s in shapes.items()}
    writer = Writer(legacy=True)
    for path, caffe in naming.published["caffe"].items():
        kernel = np.ascontiguousarray(expected[f"{path}.kernel"].transpose(3, 2, 0, 1))
        writer.layer(caffe, "Convolution", "", caffe, kernel, expected[f"{path}.bias"])
    assert "fire2/expand3x3" in {layer.name for layer in writer.net.layer}
    writer.save(tmp_path / "w.caffemodel")
    found = place_file(tmp_path / "w.caffemodel", shapes, naming, strict=True)
    equal(found.parameters, expected)


VGG16_TOP = {
    "block1_conv1": ("block1_conv1_W_1:0", "block1_conv1_b_1:0"),
    "block5_conv3": ("block5_conv3_W_1:0", "block5_conv3_b_1:0"),
    "predictions": ("predictions_W_1:0", "predictions_b_1:0"),
}


def test_some_tensors_of_keras_vgg16_are_placed_under_their_old_names(tmp_path: Path) -> None:
    import h5py

    shapes, naming = abstract("vgg16")
    draw = np.random.default_rng(0)
    expected = {
        f"{layer}.{leaf}": draw.normal(size=shapes[f"{layer}.{leaf}"].shape).astype(np.float32)
        for layer in VGG16_TOP
        for leaf in ("kernel", "bias")
    }
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = np.array([b"input_1", *(n.encode() for n in VGG16_TOP)])
        file.create_group("input_1").attrs["weight_names"] = np.array([], "S1")
        for layer, weights in VGG16_TOP.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = np.array([name.encode() for name in weights])
            for leaf, name in zip(("kernel", "bias"), weights, strict=True):
                group[name] = expected[f"{layer}.{leaf}"]
    found = place_file(tmp_path / "w.h5", shapes, naming, strict=False)
    equal(found.parameters, expected)
    assert len(found.problems) == 32 - 6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")
@pytest.mark.parametrize("ending", [".h5", ".weights.h5"])
def test_keras_applications_resnet50_gives_the_same_logits_here_as_there(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "jax")
    import keras
    from keras.src.legacy.saving import legacy_h5_format

    peer = keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classifier_activation=None
    )
    draw = np.random.default_rng(0)
    for layer in peer.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights([draw.uniform(0.5, 1, size=w.shape) for w in layer.weights])
    path = tmp_path / f"w{ending}"
    if ending == ".h5":
        import h5py

        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, peer)
    else:
        peer.save_weights(path)
    shapes, naming = abstract("resnet50_keras")
    found = place_file(path, shapes, naming, strict=True)
    assert found.scheme == "keras"
    expected = np.asarray(peer(images(64), training=False))
    close(answer("resnet50_keras", found.parameters, images(64)), expected)
