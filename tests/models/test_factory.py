"""Factories that are wrong in some way: one message each, and nothing is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reportgen.core.errors import UserError

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is first imported

Make = Callable[..., Any]
Command = Callable[..., tuple[int, str, str]]

CHOSEN = ("model=custom", "model.input.height=8", "model.input.width=8", "weights=random")
SOURCE = '''
import functools
import jax, jax.numpy as jnp, numpy as np
from flax import linen, nnx


class Net(nnx.Module):
    def __init__(self, width=4, *, rngs):
        self.conv = nnx.Conv(3, width, (3, 3), rngs=rngs)

    def __call__(self, x):
        return self.conv(x).mean((1, 2))


class Listed(nnx.Module):
    def __init__(self, *, rngs):
        self.parts = [nnx.Linear(3, 3, rngs=rngs)]


class Flat(linen.Module):
    width: int = 4

    @linen.compact
    def __call__(self, x):
        return linen.Dense(self.width)(x.mean((1, 2)))


class Nets:
    small = staticmethod(lambda: Flat(2))


def f(params, x):
    return x.mean((1, 2)) @ params["w"]


def init(key):
    return {"w": jax.random.normal(key, (3, 5))}


def pair():
    return init, f


def bare():
    return f


def needs(width, depth):
    return Flat(width)


def fails():
    raise RuntimeError("the disk is full.")


def inside():
    return fails()


def measured():
    """Looks at the values of what it makes."""
    module = Net(rngs=nnx.Rngs(3))
    scale = float(np.asarray(module.conv.kernel[...]).std())
    if scale > 0:
        module.conv.bias[...] = jnp.full(4, scale)
    return module


def looked_at():
    return Flat(int(np.asarray(jnp.arange(4)).sum()))


def returns(what):
    return {
        "none": None,
        "text": "net",
        "number": 3,
        "list": [init, f],
        "three": (init, f, f),
        "class": Net,
        "image": lambda x: x,
        "key": lambda params, x, key: x,
        "init": (lambda: 1, f),
        "wrong_init": (lambda key: jnp.ones(3) @ jnp.ones(4), f),
    }[what]


def torch():
    import torch
    return torch.nn.Linear(3, 5)


def keras():
    import keras
    return keras.layers.Dense(3)


constant = 3
'''


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own files, in the folder that the command is run in."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "own_nets.py").write_text(SOURCE)
    (folder / "own_typo.py").write_text("import flaxx\n")
    (folder / "own_syntax.py").write_text("def net(:\n    pass\n")
    (folder / "own_script.py").write_text("import sys\nsys.exit('usage: train.py DATA')\n")
    (folder / "own_error.py").write_text("\n\ntable = {}['a']\n")
    monkeypatch.syspath_prepend(folder)
    for name in [name for name in sys.modules if name.startswith("own_")]:
        monkeypatch.delitem(sys.modules, name)


EXPECTED = (
    "It returns a Flax nnx or Linen module, a function f(params, x), a pair (init, f) with "
    "init(key) -> params, or a Keras model."
)


def returned(what: str) -> str:
    return f"own_nets:returns +model.kwargs.what={what}"


@pytest.mark.usefixtures("written")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
@pytest.mark.parametrize(
    ("factory", "message", "hint"),
    [
        ("own_nets", "model.factory is 'own_nets'.", "Write it as package.module:name, or give"),
        (":Net", "model.factory is ':Net'.", "Write it as package.module:name"),
        ("own_nets:", "model.factory is 'own_nets:'.", "Write it as package.module:name"),
        (
            "own_net:Net",
            "model.factory 'own_net:Net' cannot be imported: No module named 'own_net'.",
            "It is looked for among what is installed and in the folder the command is run in (",
        ),
        (
            "own_typo:Net",
            "model.factory 'own_typo:Net' cannot be imported: No module named 'flaxx' "
            "(own_typo.py:1).",
            "",
        ),
        (
            "own_syntax:net",
            "model.factory 'own_syntax:net' cannot be imported: SyntaxError: ",
            "",
        ),
        (
            "own_script:net",
            "model.factory 'own_script:net' cannot be imported: SystemExit: usage: train.py DATA "
            "(own_script.py:2).",
            "",
        ),
        (
            "own_error:net",
            "model.factory 'own_error:net' cannot be imported: KeyError: 'a' (own_error.py:3).",
            "",
        ),
        ("own_nets:Nett", "own_nets has no function or class 'Nett'.", "Did you mean Net or "),
        ("own_nets:constant", "own_nets has no function or class 'constant'.", ""),
        ("own_nets:Nets.large", "own_nets has no function or class 'Nets.large'.", ""),
        (
            "own_nets:Net +model.kwargs.widht=3",
            "model.factory 'own_nets:Net' takes no argument 'widht': Net(width=4, *, rngs).",
            "Did you mean width?",
        ),
        (
            "own_nets:Flat +model.kwargs.wide=3",
            "model.factory 'own_nets:Flat' takes no argument 'wide': Flat(width: int = 4).",
            "Did you mean width?",
        ),
        (
            "own_nets:needs",
            "model.factory 'own_nets:needs' needs width, depth: needs(width, depth).",
            "+model.kwargs.width=… +model.kwargs.depth=…",
        ),
        (
            "own_nets:f",
            "model.factory 'own_nets:f' needs params, x: f(params, x).",
            "If this is the network itself, name a function that returns it.",
        ),
        (
            "own_nets:inside",
            "model.factory 'own_nets:inside' raised RuntimeError: the disk is full "
            "(own_nets.py:53).",
            "Compare model.kwargs with what it expects: inside()",
        ),
        (
            "own_nets:bare",
            "model.factory 'own_nets:bare' returned a function without parameters.",
            "Give its weights (weights.path=…), or return a pair (init, f) with init(key)",
        ),
        (
            "own_nets:Listed",
            "model.factory 'own_nets:Listed' raised ValueError: Found data on value of type "
            "'<class 'list'>' assigned to static attribute 'parts' of Pytree type "
            "'<class 'own_nets.Listed'>'. Static attributes should not contain data values "
            "(own_nets.py:",
            "Flax keeps modules in nnx.List([…]) or nnx.Dict({…}), not in Python's own.",
        ),
        (returned("none"), "model.factory returned a builtins.NoneType.", EXPECTED),
        (returned("text"), "model.factory returned a builtins.str.", EXPECTED),
        (returned("number"), "model.factory returned a builtins.int.", EXPECTED),
        (returned("list"), "model.factory returned a builtins.list.", EXPECTED),
        (returned("three"), "model.factory returned a builtins.tuple.", EXPECTED),
        pytest.param(
            "own_nets:torch",
            "model.factory returned a torch.nn.modules.linear.Linear.",
            EXPECTED,
            marks=pytest.mark.peer,
        ),
        ("own_nets:keras", "model.factory returned a keras.src.layers.core.dense.", EXPECTED),
        (
            returned("class"),
            "model.factory returned the class Net, not an object of it.",
            "Name the class itself as the factory, or return Net(…).",
        ),
        (
            returned("image"),
            "A plain network takes (params, x), found (x).",
            "Weights that it closes over would be compiled in; return f(params, x) instead.",
        ),
        (
            returned("key"),
            "A plain network takes (params, x), found (params, x, key).",
            "Give the other arguments their values: return functools.partial(f, …).",
        ),
        (
            returned("init"),
            "init(key) raised TypeError: returns.<locals>.<lambda>() takes 0 positional arguments",
            "It takes one random key and returns the parameters.",
        ),
        (
            returned("wrong_init"),
            "init(key) raised TypeError: dot_general requires contracting dimensions",
            "It takes one random key and returns the parameters.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_message(
    factory: str, message: str, hint: str, opened: Make
) -> None:
    name, *more = factory.split()
    with pytest.raises(UserError) as caught:
        opened(f"model.factory={name}", *CHOSEN, *more)
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    ("factory", "layers"),
    [
        ("own_nets:Net", ["conv"]),
        ("own_nets:Flat", ["Dense_0"]),
        ("own_nets:Nets.small", ["Dense_0"]),
        ("own_nets:pair", ["w"]),
        ("own_nets:needs +model.kwargs={width:3,depth:1}", ["Dense_0"]),
        ("own_nets:looked_at", ["Dense_0"]),
    ],
)
def test_classes_and_functions_are_factories(factory: str, layers: list[str], opened: Make) -> None:
    name, *more = factory.split()
    model = opened(f"model.factory={name}", *CHOSEN, *more)
    assert [layer.path for layer in model.layers] == layers
    assert len(model.classes) == {"Net": 4, "Flat": 4, "small": 2, "pair": 5, "needs": 3}.get(
        name.rpartition(":")[2].rpartition(".")[2], 6
    )


@pytest.mark.usefixtures("written")
def test_a_factory_may_look_at_the_values_that_it_makes(opened: Make) -> None:
    model = opened("model.factory=own_nets:measured", *CHOSEN[:-1], "weights=factory")
    kernel = np.asarray(model.parameters["conv.kernel"])
    np.testing.assert_allclose(model.parameters["conv.bias"], kernel.std(), rtol=1e-5)
    assert [layer.path for layer in model.layers] == ["conv"]


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("factory", ["own_nets:inside", "own_script:net", "own_nets:Nett"])
def test_a_factory_that_fails_leaves_nothing_behind(
    factory: str, reportgen: Command, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, output, error = reportgen(f"model.factory={factory}", *CHOSEN, "report.dir=out")
    assert code == 2
    assert "Traceback" not in output + error
    assert error.count(factory.partition(":")[0]) >= 1
    left = {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    assert left <= set(before)


@pytest.mark.usefixtures("written")
def test_layers_of_ones_own_network_are_listed_without_weights(reportgen: Command) -> None:
    code, output, _ = reportgen("layers", "model.factory=own_nets:Net", *CHOSEN[:-1])
    assert code == 0
    rows = [" ".join(line.split()) for line in output.splitlines()]
    assert "conv conv 8 × 8 × 4 bias 4, kernel 3×3×3×4 112 13,824" in rows
    assert "total 112 13,824" in rows
