"""The README's recipes for networks of one's own, run as they stand there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.drawn import drawn

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is first imported

README = Path(__file__).parents[1] / "README.md"
# One of each kind that differs in what it asks of a network.
MAPS = ("saliency", "lrp", "gradcam")
METHODS = (
    *("summary", "predictions", "weights", "activations", "filters", "class_images", "units"),
    *MAPS,
)
# The cheapest form of what every method does.
EVERY = (
    f"method=[{','.join(METHODS)}]",
    "data.count=20",
    "method.filters.steps=2",
    "method.filters.scales=2",
    "method.filters.units=[0,1]",
    "method.class_images.steps=2",
    "method.class_images.classes=['1']",
    *(f"method.{name}.count=2" for name in MAPS),
    "method.units.first=1",
    "method.units.synthesis=null",
)
# Forwards and backwards once; the methods themselves have tests of their own.
FEW = (
    *("method=[summary,predictions,saliency]", "method.saliency.count=2"),
    *("data.count=2", "audit=[]"),
)
# What needs no program of a network: it is described, and has its weights.
WEIGHTS = ("method=[summary,weights]", "data=none", "audit=[]")


def write_recipes(folder: Path) -> None:
    """Every block of the README that begins with the name of its file."""
    for name, text in re.findall(
        r"```(?:python|yaml)\n# (\S+)\n(.*?)```", README.read_text(), re.S
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def save_linen(folder: Path) -> None:
    import jax
    import orbax.checkpoint as ocp
    from digits_linen import ResNet  # type: ignore[import-not-found]

    image = np.zeros((1, 28, 28, 1), np.float32)
    shapes = jax.eval_shape(partial(ResNet(width=16).init, train=False), jax.random.key(1), image)
    paths, tree = jax.tree_util.tree_flatten_with_path(shapes)
    named = drawn({jax.tree_util.keystr(path, simple=True, separator="."): v for path, v in paths})
    variables = tree.unflatten(named.values())
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "linen", variables)


def save_nnx(folder: Path) -> None:
    from digits_nnx import Net  # type: ignore[import-not-found]
    from flax import nnx
    from safetensors.numpy import save_file

    state = nnx.to_flat_state(nnx.state(Net(16, rngs=nnx.Rngs(1))))
    tensors = {".".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in state}
    save_file(tensors, folder / "nnx.safetensors")


def save_function(folder: Path) -> None:
    rng = np.random.default_rng(1)
    shapes = {"conv1.w": (3, 3, 1, 8), "conv2.w": (3, 3, 8, 16), "out.w": (7 * 7 * 16, 10)}
    tensors = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    tensors |= {"conv1.b": np.full(8, 0.1), "conv2.b": np.full(16, 0.1), "out.b": np.zeros(10)}
    np.savez(folder / "function.npz", **{k: v.astype("f4") for k, v in tensors.items()})


def draw_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Keras, which compiles a program for each shape that it draws, of some fifty here."""
    import keras

    def drawn(self: object, shape: tuple[int, ...], dtype: str | None = None) -> np.ndarray:
        return np.random.default_rng(1).normal(0, 0.05, shape).astype(dtype or "f4")

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", drawn)


def save_keras(folder: Path) -> None:
    import keras

    model = keras.applications.MobileNetV2(
        input_shape=(32, 32, 1), alpha=0.35, classes=10, weights=None
    )
    model.save_weights(folder / "mobilenet.weights.h5")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
@pytest.mark.parametrize("methods", ["few", pytest.param("every", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "save", "layers", "framework", "few"),
    [
        (
            "linen",
            save_linen,
            ("stem", "conv0", "bn1", "head"),
            "Flax Linen",
            (*WEIGHTS, "layers=stem"),
        ),
        ("nnx", save_nnx, ("stages.0.1", "norm", "head"), "Flax nnx", (*WEIGHTS, "layers=head")),
        ("function", save_function, ("conv1", "relu", "out"), "plain function", FEW),
        ("keras", save_keras, ("Conv1", "block_1_depthwise"), "Keras", (*WEIGHTS, "layers=Conv1")),
    ],
)
def test_a_recipe_goes_through(
    methods: str,
    name: str,
    save: Callable[[Path], None],
    layers: tuple[str, ...],
    framework: str,
    few: tuple[str, ...],
    reportgen: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_recipes(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    if save is save_keras:
        draw_by_numpy(monkeypatch)
    save(tmp_path)
    chosen = ("--config-dir", "my", f"experiment={name}")
    quick = (*EVERY, f"method.filters.layers=[{layers[0]}]") if methods == "every" else few
    code, _, error = reportgen(*chosen, *quick, "report.dir=out")
    assert code == 0, error
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [s["method"] for s in report["sections"] if s["skipped"] or not s["blocks"]] == []
    made = {s["method"] for s in report["sections"]}
    if methods == "every":
        assert made == {*METHODS, "side_by_side"}
    else:
        assert few[0] in report["command"]
        assert len(made) == few[0].count(",") + 1
    assert report["model"]["weights_problems"] == []
    assert report["model"]["framework"] == framework
    code, listing, _ = reportgen("layers", *chosen)
    assert code == 0
    assert {*layers} <= {line.split()[0] for line in listing.splitlines() if line.strip()}


@pytest.mark.slow  # two whole runs
def test_the_command_line_of_the_readme_names_the_same_network(
    reportgen: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_recipes(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    save_linen(tmp_path)
    (found,) = re.findall(
        r"reportgen (model=custom model\.factory=.*?)\n```", README.read_text(), re.S
    )
    words = found.replace("\\\n", " ").split()
    few = ("method=predictions", "data.count=2", "audit=[]")
    code, _, error = reportgen(*words, *few, "report.dir=a")
    assert code == 0, error
    again = ("--config-dir", "my", "experiment=linen", *few, "report.dir=b")
    assert reportgen(*again, "model.name=custom", "model.input.fixed_size=true")[0] == 0
    a, b = (json.loads((tmp_path / n / "results.json").read_text()) for n in "ab")
    assert a["metrics"] == b["metrics"]
    assert a["model"]["weights_sha256"] == b["model"]["weights_sha256"]
