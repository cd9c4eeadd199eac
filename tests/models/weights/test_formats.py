"""Every format, in a file written by its own library: each value comes back to the bit."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import linen, nnx, serialization
from flax.training.train_state import TrainState
from safetensors.numpy import save_file

from reportgen.core.errors import WeightsError
from reportgen.models.weights.load import Placed, place_file, read
from tests.models.weights.sample import OWN, build, equal, shapes_of, values

EXPECTED = values(build())


def placed(path: Path, **changes: Any) -> Placed:
    return place_file(path, shapes_of(EXPECTED), OWN, strict=True, **changes)


class Linen(linen.Module):
    """A convolution, a batch norm and a dense layer, in Linen."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = linen.Conv(4, (3, 3), name="conv")(x)
        x = linen.BatchNorm(use_running_average=True, name="bn")(x)
        return linen.Dense(2)(x.mean((1, 2)))


class Training(TrainState):  # type: ignore[no-untyped-call]
    """A training state as Flax's examples have it."""

    batch_stats: Any


@pytest.fixture(scope="module")
def variables() -> dict[str, Any]:
    made: dict[str, Any] = Linen().init(jax.random.key(0), jnp.zeros((1, 4, 4, 3)))
    return made


@pytest.fixture(scope="module")
def training(variables: dict[str, Any]) -> Training:
    return Training.create(apply_fn=Linen().apply, tx=optax.adam(1e-3), **variables)


@pytest.fixture(scope="module")
def merged(variables: dict[str, Any]) -> dict[str, np.ndarray]:
    """Linen's collections in one space of dotted names."""
    return {
        ".".join(path): np.asarray(value)
        for collection in variables.values()
        for path, value in _flat(collection)
    }


def _flat(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(tree, dict):
        return [(path, tree)]
    return [pair for key, value in tree.items() for pair in _flat(value, (*path, key))]


def _saved(path: Path, tree: Any) -> Path:
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)
    return path


def test_safetensors_round_trips(tmp_path: Path) -> None:
    save_file(EXPECTED, path := tmp_path / "w.safetensors")
    found = placed(path)
    equal(found.parameters, EXPECTED)
    assert (found.format, found.scheme, found.problems) == ("safetensors", "own", ())
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_precisions_are_given_in_the_networks_own(dtype: Any, tmp_path: Path) -> None:
    narrow = {name: value.astype(dtype) for name, value in EXPECTED.items()}
    save_file(narrow, path := tmp_path / "w.safetensors")
    equal(placed(path).parameters, {k: v.astype(np.float32) for k, v in narrow.items()})


def test_a_network_of_bfloat16_gets_its_own_type(tmp_path: Path) -> None:
    save_file(EXPECTED, path := tmp_path / "w.safetensors")
    narrow = {name: value.astype(ml_dtypes.bfloat16) for name, value in EXPECTED.items()}
    equal(place_file(path, shapes_of(narrow), OWN, strict=True).parameters, narrow)


def test_npz_round_trips_and_pickles_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(path := tmp_path / "w.npz", **EXPECTED)
    equal(placed(path).parameters, EXPECTED)
    np.savez(path, **EXPECTED, names=np.array([{"a": 1}], object))
    with pytest.raises(WeightsError, match=r"names\.npy' as pickled Python objects"):
        placed(path)


def test_another_order_of_bytes_and_of_axes_in_memory_is_read(tmp_path: Path) -> None:
    foreign = {k: np.asfortranarray(v.astype(">f4")) for k, v in EXPECTED.items()}
    np.savez(path := tmp_path / "w.npz", **foreign)
    equal(placed(path).parameters, EXPECTED)


@pytest.mark.parametrize("whole", [True, False])
def test_flax_msgpack_round_trips_variables_and_a_whole_training_state(
    whole: bool, tmp_path: Path, variables: Any, training: Any, merged: Any
) -> None:
    path = tmp_path / "w.msgpack"
    path.write_bytes(serialization.to_bytes(training if whole else variables))
    equal(place_file(path, shapes_of(merged), OWN, strict=True).parameters, merged)


def test_flax_msgpack_of_an_nnx_state_round_trips(tmp_path: Path) -> None:
    state = nnx.to_pure_dict(nnx.state(build(), nnx.Not(nnx.RngState)))
    (path := tmp_path / "w.msgpack").write_bytes(serialization.msgpack_serialize(state))
    equal(placed(path).parameters, EXPECTED)


def test_orbax_round_trips_an_nnx_state_with_its_random_streams(tmp_path: Path) -> None:
    """The dropout's key and count are saved with the weights, and are none."""
    path = _saved(tmp_path / "w", nnx.state(build()))
    assert any("rngs" in name for name in read(path).tensors)
    found = placed(path)
    equal(found.parameters, EXPECTED)
    assert found.format == "Orbax"


def test_orbax_round_trips_a_pure_dictionary(tmp_path: Path) -> None:
    state = nnx.to_pure_dict(nnx.state(build(), nnx.Not(nnx.RngState)))
    equal(placed(_saved(tmp_path / "w", state)).parameters, EXPECTED)


def test_orbax_reads_no_optimiser_of_a_training_state_and_says_so(
    tmp_path: Path, training: Any, merged: Any
) -> None:
    path = _saved(tmp_path / "w", training)
    found = place_file(path, shapes_of(merged), OWN, strict=True)
    equal(found.parameters, merged)
    assert found.format == "Orbax, without opt_state, step"
    assert not any(name.startswith("opt_state") for name in read(path).tensors)


def test_orbax_reads_a_plain_functions_lists(tmp_path: Path) -> None:
    layers = [{"w": np.full((2, 3), i, np.float32), "b": np.zeros(i, np.float32)} for i in (1, 2)]
    expected = {f"{i}.{name}": v for i, layer in enumerate(layers) for name, v in layer.items()}
    path = _saved(tmp_path / "w", layers)
    equal(place_file(path, shapes_of(expected), OWN, strict=True).parameters, expected)


def test_orbax_takes_the_last_step_of_a_manager_and_says_so(tmp_path: Path) -> None:
    last = nnx.to_pure_dict(nnx.state(build(), nnx.Not(nnx.RngState)))
    with ocp.CheckpointManager(tmp_path / "w") as manager:
        for step in (9, 10):
            tree = last if step == 10 else jax.tree.map(jnp.zeros_like, last)
            manager.save(step, args=ocp.args.StandardSave(tree))
    found = placed(tmp_path / "w")
    equal(found.parameters, EXPECTED)
    assert found.format == "Orbax, step 10"


def test_orbax_finds_the_item_with_weights(tmp_path: Path) -> None:
    state = nnx.to_pure_dict(nnx.state(build(), nnx.Not(nnx.RngState)))
    with ocp.CheckpointManager(tmp_path / "w") as manager:
        both = ocp.args.Composite(
            weights=ocp.args.StandardSave(state), notes=ocp.args.JsonSave({"a": 1})
        )
        manager.save(3, args=both)
    equal(placed(tmp_path / "w").parameters, EXPECTED)


def test_the_sum_of_a_folder_follows_names_and_contents(tmp_path: Path) -> None:
    state = nnx.to_pure_dict(nnx.state(build(), nnx.Not(nnx.RngState)))
    path = _saved(tmp_path / "w", state)
    first = placed(path).sha256
    assert placed(path.rename(tmp_path / "moved")).sha256 == first
    (tmp_path / "moved" / "more").write_text("x")
    assert placed(tmp_path / "moved").sha256 != first


def _torch_state() -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(value.copy()) for name, value in EXPECTED.items()}


def _whole(state: Any) -> Any:
    return {"epoch": 3, "optimizer": {"lr": 0.1}, "state_dict": state}


def _parallel(state: Any) -> Any:
    return {"model": {f"module.{name}": value for name, value in state.items()}, "epoch": 1}


def _compiled(state: Any) -> Any:
    return {f"_orig_mod.{name}": value for name, value in state.items()}


@pytest.mark.peer
@pytest.mark.parametrize("wrap", [dict, _whole, _parallel, _compiled])
@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_files_round_trip_in_their_wrappers(
    wrap: Callable[[Any], Any], zipped: bool, tmp_path: Path
) -> None:
    import torch

    path = tmp_path / "w.pt"
    torch.save(wrap(_torch_state()), path, _use_new_zipfile_serialization=zipped)
    found = placed(path)
    equal(found.parameters, EXPECTED)
    assert found.format == "PyTorch"


@pytest.mark.peer
def test_pytorch_bfloat16_is_read(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "w.pth"
    torch.save({name: value.bfloat16() for name, value in _torch_state().items()}, path)
    narrow = {k: v.astype(ml_dtypes.bfloat16).astype(np.float32) for k, v in EXPECTED.items()}
    equal(placed(path).parameters, narrow)


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.peer
def test_a_pytorch_file_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    import torch

    torch.save({"state_dict": _torch_state(), "evil": Evil(tmp_path / "ran")}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"not unpickled here[\s\S]*safetensors"):
        placed(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_without_pytorch_the_message_says_how_to_convert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", b"")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(WeightsError, match=r"without torch[\s\S]*save_file\("):
        placed(tmp_path / "w.pt")
