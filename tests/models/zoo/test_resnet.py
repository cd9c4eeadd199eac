"""ResNets are the published ones: sizes, names, and what PyTorch and Keras compute."""

from __future__ import annotations

from typing import Any

import pytest

from reportgen.core.errors import ModelError
from tests.goldens.zoo_modern import case, keras_outputs, torch_outputs
from tests.models.zoo.modern import Ran, assert_close, golden, run, sampled

# Parameters without batch statistics: torchvision's, those of Keras and of He's Caffe model.
COUNTS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet50_caffe": 25_557_096,
    "resnet50_keras": 25_583_592,
    "resnet101_keras": 44_601_832,
    "resnet152_keras": 60_268_520,
}


@pytest.fixture(scope="module")
def ran(request: pytest.FixtureRequest) -> Ran:
    return run(request.param)


@pytest.mark.parametrize("ran", COUNTS, indirect=True)
def test_published_size_and_output(ran: Ran) -> None:
    assert ran.case.count() == COUNTS[ran.case.name]
    assert_close(sampled(ran.outputs), golden(ran.case.name))


@pytest.mark.parametrize("ran", ["resnet18", "resnet50", "resnet50_caffe"], indirect=True)
def test_against_pytorch(ran: Ran) -> None:
    pytest.importorskip("torch", reason="the peer is in PyTorch (extra: peers)")
    assert_close(ran.outputs, torch_outputs(ran.case))


@pytest.mark.parametrize("ran", ["resnet50_keras"], indirect=True)
def test_against_keras(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    pytest.importorskip("keras", reason="the peer is keras.applications (extra: peers)")
    assert_close(ran.outputs, keras_outputs(ran.case))


def test_the_head_takes_any_number_of_classes() -> None:
    ran = run("resnet18", "+model.kwargs.classes=102")
    assert ran.outputs[""].shape == (1, 102)
    assert ran.case.count() == COUNTS["resnet18"] - 898 * (512 + 1)
    deep = case("resnet152", "+model.kwargs.classes=102")
    assert deep.network.outline.outputs == 102
    assert deep.count() == COUNTS["resnet152"] - 898 * (2048 + 1)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+model.kwargs.version=v1.4", "version is 'v1.4'. Did you mean v1.5 or v1?"),
        ("model.kwargs.depth=51", "depth is 51. Known: 18, 34, 50, 101, 152."),
    ],
)
def test_a_wrong_keyword_names_the_right_ones(override: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        case("resnet50", override)
    assert message in str(caught.value)


def test_layers_are_torchvisions_and_blocks_are_layers_too() -> None:
    layers = {layer.path: layer for layer in case("resnet50").network.outline.layers}
    paths = list(layers)
    block = [path.removeprefix("layer2.0.") for path in paths if path.startswith("layer2.0.")]
    assert block == [
        "conv1",
        "bn1",
        "relu",
        "conv2",
        "bn2",
        "relu#2",
        "conv3",
        "bn3",
        "downsample.0",
        "downsample.1",
        "relu#3",
    ]
    assert paths[:4] == ["conv1", "bn1", "relu", "maxpool"]
    assert paths[-3:] == ["layer4.2", "avgpool", "fc"]
    assert layers["layer2.0"].kind == "block"
    assert layers["layer2.0"].shape == layers["layer2.0.relu#3"].shape == (28, 28, 512)
    kinds = [layers[path].kind for path in ("conv1", "bn1", "relu", "maxpool", "avgpool", "fc")]
    assert kinds == ["conv", "norm", "activation", "pool", "pool", "dense"]


def test_the_stride_lies_where_the_version_has_it() -> None:
    """v1.5: 28 x 28 first after the 3x3 convolution; v1: after the first 1x1."""
    sides = {
        name: [
            layer.shape[0]
            for layer in case(name).network.outline.layers
            if layer.path in ("layer2.0.conv1", "layer2.0.conv2")
        ]
        for name in ("resnet50", "resnet50_keras")
    }
    assert sides == {"resnet50": [56, 28], "resnet50_keras": [28, 28]}


def test_only_sources_that_compute_the_same_are_given() -> None:
    expected = {
        "resnet18": {"torchvision", "timm"},
        "resnet50": {"torchvision", "timm"},
        "resnet50_caffe": {"caffe"},
        "resnet50_keras": {"keras", "keras_legacy"},
    }
    assert {name: set(case(name).published) for name in expected} == expected


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvisions_and_timms_names_are_our_own(name: str) -> None:
    given = case(name)
    modules = {parameter.rpartition(".")[0] for parameter in given.network.adapted.shapes}
    for scheme in ("torchvision", "timm"):
        assert given.published[scheme] == {path: path for path in modules}


LETTERS = {
    "conv1": ("conv1", "conv1"),
    "bn1": ("bn_conv1", "bn_conv1"),
    "layer1.0.conv1": ("res2a_branch2a", "res2a_branch2a"),
    "layer1.0.bn3": ("bn2a_branch2c", "bn2a_branch2c"),
    "layer2.0.downsample.0": ("res3a_branch1", "res3a_branch1"),
    "layer2.0.downsample.1": ("bn3a_branch1", "bn3a_branch1"),
    "layer2.3.conv2": ("res3d_branch2b", "res3b3_branch2b"),
    "layer3.5.bn1": ("bn4f_branch2a", "bn4b5_branch2a"),
    "layer4.2.conv3": ("res5c_branch2c", "res5c_branch2c"),
    "fc": ("fc1000", "fc1000"),
}


def test_caffes_names_are_letters_at_depth_50_and_numbers_beyond() -> None:
    """As in the published prototxt files of ResNet-50 and ResNet-101."""
    caffe = case("resnet50_caffe").published["caffe"]
    deeper = case("resnet50_caffe", "model.kwargs.depth=101").published["caffe"]
    for path, (of50, of101) in LETTERS.items():
        assert (caffe[path], deeper[path]) == (of50, of101)
    assert deeper["layer3.22.conv1"] == "res4b22_branch2a"
    assert len(set(deeper.values())) == len(deeper)
    legacy = case("resnet50_keras").published["keras_legacy"]
    assert legacy == caffe


def test_kerass_names_beyond_depth_50(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras: Any = pytest.importorskip("keras", reason="the peer is keras.applications")
    network = keras.applications.ResNet101(weights=None)
    kernels = {la.name: la.weights[0].shape for la in network.layers if la.weights}
    given = case("resnet101_keras")
    assert list(given.published) == ["keras"]
    names = given.published["keras"]
    assert set(names.values()) == set(kernels)
    for path, name in names.items():
        kernel = given.network.adapted.shapes.get(f"{path}.kernel")
        assert kernel is None or kernel.shape == kernels[name]


def test_other_sizes_of_input_against_pytorch() -> None:
    """The network ends in a global mean; odd sides show where padding lies."""
    pytest.importorskip("torch", reason="the peer is in PyTorch (extra: peers)")
    ran = run("resnet18", "model.input.height=97", "model.input.width=65")
    assert ran.outputs["maxpool"].shape == (1, 25, 17, 64)
    assert_close(ran.outputs, torch_outputs(ran.case))
