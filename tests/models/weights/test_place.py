"""Names, layouts and what is said of files that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from reportgen.core.errors import WeightsError
from reportgen.models.weights.load import Naming, Placed, place_file
from tests.models.weights.sample import (
    MAP,
    NAMING,
    OWN,
    build,
    equal,
    images,
    logits,
    shapes_of,
    values,
)

EXPECTED = values(build())
SHAPES = shapes_of(EXPECTED)
TORCH_LEAVES = {
    "bn.scale": "bn.weight",
    "bn.mean": "bn.running_mean",
    "bn.var": "bn.running_var",
    **{f"{layer}.kernel": f"{layer}.weight" for layer in ("conv", "dw", "fc")},
}


def torch_tensors() -> dict[str, np.ndarray]:
    """The sample network's weights as a PyTorch port with its names of layers has them."""
    tensors = {}
    for name, value in EXPECTED.items():
        if value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        elif name == "fc.kernel":
            value = value.reshape(*MAP, -1).transpose(3, 2, 0, 1).reshape(value.shape[1], -1)
        tensors[TORCH_LEAVES.get(name, name)] = np.ascontiguousarray(value)
    tensors["bn.num_batches_tracked"] = np.array(12)
    return tensors


def published(tensors: dict[str, np.ndarray], scheme: str) -> dict[str, np.ndarray]:
    renamed = NAMING.published[scheme]
    return {
        f"{renamed[name.partition('.')[0]]}.{name.partition('.')[2]}": value
        for name, value in tensors.items()
    }


def placed(
    path: Path, tensors: dict[str, np.ndarray], naming: Naming = NAMING, *, strict: bool = True
) -> Placed:
    save_file(tensors, path / "w.safetensors")
    return place_file(path / "w.safetensors", SHAPES, naming, strict=strict)


def refused(path: Path, tensors: dict[str, np.ndarray], naming: Naming = NAMING) -> str:
    with pytest.raises(WeightsError) as caught:
        placed(path, tensors, naming)
    return str(caught.value)


def test_published_pytorch_names_are_found_and_transposed(tmp_path: Path) -> None:
    found = placed(tmp_path, published(torch_tensors(), "torchvision"))
    equal(found.parameters, EXPECTED)
    assert found.scheme == "torchvision"


def test_a_users_port_has_its_own_names_in_pytorch_layouts(tmp_path: Path) -> None:
    own = Naming({}, NAMING.flattened, ())
    found = placed(tmp_path, torch_tensors(), own)
    equal(found.parameters, EXPECTED)
    assert found.scheme == "own"


@pytest.mark.peer
def test_a_pytorch_network_and_ours_with_its_file_give_the_same_logits(tmp_path: Path) -> None:
    import torch

    nn = torch.nn

    class Twin(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            conv, norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, eps=1e-3)
            depthwise = nn.Conv2d(4, 8, 3, groups=4)
            self.features = nn.Sequential(conv, norm, nn.ReLU(), depthwise)
            self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(4 * 4 * 8, 5))

        def forward(self, x: Any) -> Any:
            return self.classifier(self.features(x))

    torch.manual_seed(3)
    twin = Twin()
    with torch.no_grad():
        for _ in range(3):  # statistics that are not 0 and 1
            twin(torch.randn(8, 3, 6, 6) * 2 + 1)
    twin.eval()
    found = placed(tmp_path, {name: v.numpy() for name, v in twin.state_dict().items()})
    x = images()
    with torch.no_grad():
        expected = twin(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(logits(found.parameters, x), expected, rtol=1e-5, atol=1e-5)


def test_names_of_a_publisher_whose_network_differs_are_not_taken_for_own(tmp_path: Path) -> None:
    """Residual networks of two versions have the same names and shapes; only one computes right."""
    caffe = Naming({"caffe": NAMING.published["caffe"]}, {}, ())
    text = refused(tmp_path, torch_tensors(), caffe)
    assert "is of another version of it, which computes otherwise" in text
    assert "This one takes files of: caffe." in text
    with pytest.raises(WeightsError, match="another version"):
        placed(tmp_path, torch_tensors(), caffe, strict=False)
    equal(placed(tmp_path, EXPECTED, caffe).parameters, EXPECTED)


WRAPPERS: list[Callable[[str], str]] = [
    lambda name: f"params.params.{name}",
    lambda name: f"state.params.{name}.value",
    lambda name: f"{name}.value",
    lambda name: f"module._orig_mod.{name}",
    lambda name: f"{'batch_stats' if name in ('bn.mean', 'bn.var') else 'params'}.{name}",
    lambda name: f"backbone.{name}",
]


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("naming", [NAMING, OWN], ids=["published", "own"])
def test_what_is_wrapped_around_all_names_is_taken_off(
    wrap: Callable[[str], str], naming: Naming, tmp_path: Path
) -> None:
    wrapped = {wrap(name): value for name, value in EXPECTED.items()}
    equal(placed(tmp_path, wrapped, naming).parameters, EXPECTED)


def test_what_training_keeps_beside_the_weights_is_left_aside(tmp_path: Path) -> None:
    tensors = {f"model.{name}": value for name, value in EXPECTED.items()}
    tensors |= {"opt_state.0.mu.conv.kernel": np.zeros(3), "step": np.array(3)}
    equal(placed(tmp_path, tensors).parameters, EXPECTED)


def test_names_of_training_are_a_networks_own_where_nothing_else_holds_weights(
    tmp_path: Path,
) -> None:
    tensors = {"key.kernel": np.ones((2, 2), np.float32), "loss.bias": np.ones(2, np.float32)}
    save_file(tensors, path := tmp_path / "w.safetensors")
    equal(place_file(path, shapes_of(tensors), OWN, strict=True).parameters, tensors)


def test_what_the_network_says_it_does_not_have_is_ignored(tmp_path: Path) -> None:
    tensors = published(torch_tensors(), "torchvision")
    tensors["AuxLogits.fc.weight"] = np.zeros((2, 2))
    equal(placed(tmp_path, tensors).parameters, EXPECTED)
    assert "left over: Aux.weight (2, 2)" in refused(
        tmp_path, tensors | {"Aux.weight": np.zeros((2, 2))}
    )


def test_bare_parameters_and_fused_names_keep_their_layout(tmp_path: Path) -> None:
    """A class token has no module; PyTorch joins ``in_proj_`` and ``weight`` without a dot."""
    draw = np.random.default_rng(0)
    expected = {
        "cls": draw.normal(size=(1, 1, 4)).astype(np.float32),
        "gamma": draw.normal(size=4).astype(np.float32),
        "attention.in_proj.kernel": draw.normal(size=(4, 12)).astype(np.float32),
        "attention.query.kernel": draw.normal(size=(4, 2, 2)).astype(np.float32),
        "norm.scale": draw.normal(size=4).astype(np.float32),
    }
    naming = Naming(
        {
            "torchvision": {
                "cls": "class_token",
                "gamma": "layer_scale",
                "attention.in_proj": "self_attention.in_proj_",
                "attention.query": "query",
                "norm": "ln",
            }
        },
        {},
        (),
    )
    tensors = {
        "class_token": expected["cls"],
        "layer_scale": expected["gamma"].reshape(4, 1, 1),
        "self_attention.in_proj_weight": expected["attention.in_proj.kernel"].T.copy(),
        "query.weight": expected["attention.query.kernel"].reshape(4, 4).T.copy(),
        "ln.weight": expected["norm.scale"],
    }
    save_file(tensors, path := tmp_path / "w.safetensors")
    equal(place_file(path, shapes_of(expected), naming, strict=True).parameters, expected)


def test_a_pointwise_convolution_is_a_dense_layer_and_the_other_way_round(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    expected = {"a.kernel": kernel, "b.kernel": kernel.reshape(1, 1, 3, 4)}
    tensors = {"a.weight": kernel.T.reshape(4, 3, 1, 1).copy(), "b.weight": kernel.T.copy()}
    save_file(tensors, path := tmp_path / "w.safetensors")
    equal(place_file(path, shapes_of(expected), OWN, strict=True).parameters, expected)


def test_every_tensor_that_does_not_fit_is_listed(tmp_path: Path) -> None:
    bad = EXPECTED["conv.kernel"].copy()
    bad.flat[:3] = np.nan, np.inf, -np.inf
    tensors = EXPECTED | {"conv.kernel": bad, "dw.bias": np.zeros(7, np.float32)}
    tensors["fc.kernl"] = tensors.pop("fc.kernel")
    text = refused(tmp_path, tensors)
    assert "w.safetensors does not fit the network (10 tensors in the file, 10 in the net" in text
    assert "not finite: conv.kernel has 3 NaN or infinite of 108" in text
    assert "shape: dw.bias is (7,), the network has (8,)" in text
    assert "missing: fc.kernel (128, 5) (fc.kernl?)" in text
    assert "left over: fc.kernl (128, 5)" in text


def test_a_shape_is_told_in_the_networks_layout_with_the_files_name(tmp_path: Path) -> None:
    tensors = published(torch_tensors(), "torchvision")
    tensors["features.0.weight"] = np.zeros((4, 2, 3, 3), np.float32)
    assert (
        "shape: conv.kernel (features.0.weight) is (3, 3, 2, 4), the network has (3, 3, 3, 4)"
        in (refused(tmp_path, tensors))
    )


def test_many_problems_are_cut_at_twelve_and_counted(tmp_path: Path) -> None:
    tensors = EXPECTED | {f"more.{i:02}": np.zeros(1, np.float32) for i in range(20)}
    lines = refused(tmp_path, tensors).splitlines()
    assert lines[1] == "  left over: more.00 (1,)"
    assert lines[12:14] == ["  left over: more.11 (1,)", "  … and 8 more"]


def test_a_file_of_another_network_is_told_by_the_names_of_both(tmp_path: Path) -> None:
    tensors = {f"layer{i}.0.conv1.weight": np.zeros((2, 2), np.float32) for i in range(4)}
    text = refused(tmp_path, tensors)
    assert "of 10 names that the network has, 0 are among the file's 4" in text
    assert "The file has layer0.0.conv1.weight, layer1.0.conv1.weight, " in text
    assert "; the network has bn.bias, bn.mean, bn.scale, …." in text
    save_file(tensors, path := tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="another network"):
        place_file(path, SHAPES, NAMING, strict=False)


@pytest.mark.parametrize("scheme", ["own", "torchvision"])
def test_a_head_of_another_width_names_the_override(scheme: str, tmp_path: Path) -> None:
    if scheme == "own":
        tensors, rest = values(build(classes=7)), "fc"
    else:
        tensors, rest = published(torch_tensors(), "torchvision"), "classifier.1"
        tensors["classifier.1.weight"] = np.zeros((7, 128), np.float32)
        tensors["classifier.1.bias"] = np.zeros(7, np.float32)
    assert refused(tmp_path, tensors).endswith("+model.kwargs.classes=7.")
    found = placed(tmp_path, tensors, strict=False)
    assert len(found.problems) == 2
    assert all(rest in problem for problem in found.problems)
    equal(found.parameters, {k: v for k, v in EXPECTED.items() if not k.startswith("fc.")})


def test_without_strict_what_fits_is_loaded_and_the_rest_is_told(tmp_path: Path) -> None:
    tensors = dict(EXPECTED)
    tensors["conv.bias"] = np.full(4, np.nan, np.float32)
    del tensors["dw.bias"]
    tensors["more"] = np.zeros(2, np.float32)
    found = placed(tmp_path, tensors, strict=False)
    without = ("conv.bias", "dw.bias")
    equal(found.parameters, {k: v for k, v in EXPECTED.items() if k not in without})
    assert found.problems == (
        "not finite: conv.bias has 4 NaN or infinite of 4",
        "missing: dw.bias (8,)",
        "left over: more (2,)",
    )


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    tensors = EXPECTED | {"conv.kernel": np.zeros((3, 3, 3, 4), np.int8)}
    tensors["conv.scales"] = np.ones(4, np.float32)
    text = refused(tmp_path, tensors)
    assert "type: conv.kernel is I8, not float32" in text
    assert text.splitlines()[-1].startswith(
        "Whole numbers are weights of a quantised network: turn"
    )


def test_a_file_without_batch_statistics_says_what_to_save(tmp_path: Path) -> None:
    tensors = {name: v for name, v in EXPECTED.items() if name not in ("bn.mean", "bn.var")}
    text = refused(tmp_path, tensors, OWN)
    assert "missing: bn.mean (4,)" in text
    assert "saved without batch statistics: save 'batch_stats'" in text.splitlines()[-1]
    tensors.pop("bn.scale")
    assert "batch_stats" not in refused(tmp_path, tensors, OWN)


def test_a_value_too_large_for_the_networks_type_is_not_finite(tmp_path: Path) -> None:
    narrow = {name: value.astype(np.float16) for name, value in EXPECTED.items()}
    tensors = EXPECTED | {"conv.bias": np.array([1e5, 0, 0, 0], np.float32)}
    save_file(tensors, path := tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"not finite: conv\.bias has 1 NaN or infinite of 4"):
        place_file(path, shapes_of(narrow), OWN, strict=True)
    wide = {name: value.astype(ml_dtypes.bfloat16) for name, value in EXPECTED.items()}
    assert place_file(path, shapes_of(wide), OWN, strict=True).problems == ()
