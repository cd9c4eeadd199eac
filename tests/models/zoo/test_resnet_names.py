"""What ResNet's layers are called here and elsewhere, and where the versions stride."""

from __future__ import annotations

import pytest

from tests.goldens.zoo_modern import case


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


def test_kerass_names_are_of_stages_blocks_and_numbers() -> None:
    """As in the files of keras.applications: the stem counts as the first stage."""
    expected = {
        "conv1": "conv1_conv",
        "bn1": "conv1_bn",
        "layer1.0.conv1": "conv2_block1_1_conv",
        "layer1.0.downsample.0": "conv2_block1_0_conv",
        "layer2.3.bn3": "conv3_block4_3_bn",
        "layer3.22.conv2": "conv4_block23_2_conv",
        "layer4.0.downsample.1": "conv5_block1_0_bn",
        "fc": "predictions",
    }
    names = case("resnet101_keras").published["keras"]
    assert expected.items() <= names.items()
    assert len(set(names.values())) == len(names)


@pytest.mark.slow
def test_kerass_names_beyond_depth_50_are_those_of_keras_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    import keras

    network = keras.applications.ResNet101(weights=None)
    kernels = {la.name: la.weights[0].shape for la in network.layers if la.weights}
    given = case("resnet101_keras")
    assert list(given.published) == ["keras"]
    names = given.published["keras"]
    assert set(names.values()) == set(kernels)
    for path, name in names.items():
        kernel = given.network.adapted.shapes.get(f"{path}.kernel")
        assert kernel is None or kernel.shape == kernels[name]
