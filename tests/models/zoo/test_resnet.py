"""ResNets are the published ones: sizes, names, and what PyTorch and Keras compute."""

from __future__ import annotations

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


# The deepest repeat the blocks of those of 50 more often, and take long to trace.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if "101" in name or "152" in name else ())
        for name in COUNTS
    ],
)
def test_published_size(name: str) -> None:
    assert case(name).count() == COUNTS[name]


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in COUNTS if name != "resnet18"]


@pytest.mark.parametrize("ran", ["resnet18", *SLOW], indirect=True)
def test_output_at_full_width_against_what_the_publisher_s_network_computed(ran: Ran) -> None:
    assert_close(sampled(ran.outputs), golden(ran.case.name))


@pytest.mark.parametrize("name", ["resnet50", "resnet50_caffe", "resnet50_keras"])
def test_the_front_at_full_width_against_what_the_publisher_s_network_computed(name: str) -> None:
    """The stem, and blocks of three convolutions with and without a stride, of each version."""
    front = ("maxpool", "layer2.0")
    kept = golden(name)
    assert_close(sampled(run(name, front=front).outputs), {path: kept[path] for path in front})


@pytest.mark.peer
@pytest.mark.parametrize("ran", ["resnet18", "resnet50", "resnet50_caffe"], indirect=True)
def test_against_pytorch(ran: Ran) -> None:
    assert_close(ran.outputs, torch_outputs(ran.case))


@pytest.mark.slow
@pytest.mark.parametrize("ran", ["resnet50_keras"], indirect=True)
def test_against_keras(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert_close(ran.outputs, keras_outputs(ran.case))


def test_the_head_takes_any_number_of_classes() -> None:
    for name, width in {"resnet18": 512, "resnet50": 2048}.items():
        given = case(name, "+model.kwargs.classes=102")
        assert given.network.outline.outputs == 102
        assert given.count() == COUNTS[name] - 898 * (width + 1)


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


ODD = ("model.input.height=97", "model.input.width=65")


def test_other_sizes_of_input() -> None:
    """The network ends in a global mean; odd sides show where padding lies."""
    shapes = {layer.path: layer.shape for layer in case("resnet18", *ODD).network.outline.layers}
    assert shapes["maxpool"] == (25, 17, 64)
    assert shapes["layer4.1"] == (4, 3, 512)
    assert shapes["fc"] == (1000,)


@pytest.mark.peer
def test_other_sizes_of_input_against_pytorch() -> None:
    ran = run("resnet18", *ODD)
    assert_close(ran.outputs, torch_outputs(ran.case))
