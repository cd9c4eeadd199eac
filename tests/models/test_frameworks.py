"""What holds of networks in every framework alike, against each framework's own evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from flax import linen

from reportgen.core.errors import ModelError
from reportgen.core.spec import InputSpec
from reportgen.models.base import Model
from tests.at_once import at_once

from . import functions, keras_modules, linen_modules, nnx_modules
from .functions import conv, init, shaped, tree_of
from .linen_modules import nested
from .networks import LARGE, X, assert_close, beside, keras_of, listed

SPEC = InputSpec(height=8, width=8, channels=3, fixed_size=True)
# Keras's variables do not speak NumPy 2 yet.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("undrawn"),
]

Make = Callable[..., Model]
# Of a Model: a function of its parameters and x that the framework itself evaluates.
Own = Callable[[Model], Callable[[Any, jax.Array], Any]]


def linens(network: Any, **more: Any) -> Own:
    return lambda model: linen_modules.of(network(), **more)


def nnxs(network: Any) -> Own:
    return lambda model: lambda parameters, x: nnx_modules.module_of(network, parameters)(x)


def kerass(model: Model) -> Callable[[Any, jax.Array], Any]:
    theirs = keras_of(model)
    return lambda parameters, x: theirs(x, training=False)


def plain(function: Any, own_init: Any = init) -> Own:
    return lambda model: lambda parameters, x: function(tree_of(own_init, parameters), x)


def subclassed(model: Model) -> Callable[[Any, jax.Array], Any]:
    theirs = keras_of(model)
    return lambda parameters, x: keras_modules.Subclassed.call(theirs, x, training=False)


# Of a network with batch norm and dropout: what evaluates it, its layers, those of a convolution
# and of the norm behind it with its epsilon and the names of its parameters, and by the layers'
# outputs what comes out of dropout where it does nothing.
FLAX = ("scale", "bias", "mean", "var")
KERAS = ("gamma", "beta", "moving_mean", "moving_variance")
REGULAR: dict[str, Any] = {
    "linen": (
        linens(linen_modules.Regular, train=False),
        [
            ("Conv_0", "conv", (8, 8, 4)),
            ("BatchNorm_0", "norm", (8, 8, 4)),
            ("Dropout_0", "dropout", (8, 8, 4)),
            ("Dense_0", "dense", (3,)),
        ],
        ("Conv_0", "BatchNorm_0", 1e-5, FLAX),
        lambda kept: np.maximum(kept["BatchNorm_0"], 0),
        {"Conv_0.kernel", *(f"BatchNorm_0.{name}" for name in FLAX)}
        | {"Dense_0.kernel", "Dense_0.bias"},
    ),
    "nnx": (
        nnxs(nnx_modules.Regular),
        [
            ("conv", "conv", (8, 8, 4)),
            ("norm", "norm", (8, 8, 4)),
            ("drop", "dropout", (8, 8, 4)),
        ],
        ("conv", "norm", 1e-5, FLAX),
        lambda kept: kept["norm"],
        # There is no state of random generators among them.
        {"conv.kernel", "conv.bias", *(f"norm.{name}" for name in FLAX)},
    ),
    "keras": (
        subclassed,
        [
            *(
                (path, kind, (8, 8, 4))
                for block in ("stem", "block0", "block1")
                for path, kind in (
                    (f"{block}.conv", "conv"),
                    (f"{block}.norm", "norm"),
                    (block, "block"),
                )
            ),
            ("drop", "dropout", (4,)),
            ("out", "dense", (3,)),
        ],
        ("stem.conv", "stem.norm", 1e-3, KERAS),
        lambda kept: kept["block1"].mean((1, 2)),
        {
            f"{block}.{leaf}"
            for block in ("stem", "block0", "block1")
            for leaf in ("conv.kernel", "conv.bias", *(f"norm.{name}" for name in KERAS))
        }
        | {"out.kernel", "out.bias"},
    ),
}
SAID = {
    "linen": ("Regular", "Deterministic", "Open", "Fixed", "Positional", "Inherited"),
    "nnx": ("Train", "Deterministic", "Training", "Fixed", "Inherited"),
    "keras": ("Subclassed", "Silent", "Fixed"),
}
MODULES: dict[str, Any] = {"linen": linen_modules, "nnx": nnx_modules, "keras": keras_modules}


@pytest.mark.parametrize(
    ("framework", "said"), [(framework, said) for framework in SAID for said in SAID[framework]]
)
def test_batch_statistics_are_used_and_dropout_is_off_however_that_is_said(
    framework: str, said: str, opened_once: Make
) -> None:
    own, layers, (before, path, epsilon, names), undropped, parameters = REGULAR[framework]
    model = opened_once(getattr(MODULES[framework], said))
    dropout = [layer for layer in layers if layer[1] == "dropout"]
    if (framework, said) == ("linen", "Inherited"):  # has none
        layers, dropout = [layer for layer in layers if layer not in dropout], []
    assert listed(model) == layers
    assert set(model.parameters) == parameters
    first = {name: np.array(value) for name, value in model.parameters.items()}
    (logits, activations), expected = beside(model, own(model))
    assert_close(logits, expected)
    scale, bias, mean, var = (first[f"{path}.{name}"] for name in names)
    by_hand = (activations[before] - mean) / np.sqrt(var + epsilon) * scale + bias
    assert_close(activations[path], by_hand)
    for name, _, _ in dropout:
        assert_close(activations[name], undropped(activations))
    for name, value in first.items():
        np.testing.assert_array_equal(model.parameters[name], value)


# Network, its own evaluation, the name of an output, and the layer that gives it ("" for none).
OUTPUTS: dict[str, tuple[Any, Own, str, str]] = {
    "linen, key": (linen_modules.Tuples, linens(linen_modules.Tuples), "logits", "head"),
    "linen, place": (linen_modules.Tuples, linens(linen_modules.Tuples), "aux.0", ""),
    "linen, deep": (linen_modules.Tuples, linens(linen_modules.Tuples), "aux.1.deep", "aux"),
    "nnx, key": (nnx_modules.Outputs, nnxs(nnx_modules.Outputs), "logits", "head"),
    "nnx, deep": (nnx_modules.Outputs, nnxs(nnx_modules.Outputs), "aux.0.deep", ""),
    "keras, key": (keras_modules.several, kerass, "logits", "out"),
    "keras, other key": (keras_modules.several, kerass, "aux", "aux"),
    "keras, place": (keras_modules.as_list, kerass, "1", "aux"),
    "function, place": (functions.two_outputs, plain(functions.several), "0", "out"),
    "function, deep": (functions.two_outputs, plain(functions.several), "1.deep.0", "tanh"),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_an_output_is_chosen_by_key_or_place(case: str, opened_once: Make) -> None:
    network, own, output, layer = OUTPUTS[case]
    model = opened_once(network, output=output)
    (scores, activations), expected = beside(model, own(model))
    for part in output.split("."):
        expected = expected[int(part) if part.isdigit() else part]
    if model.head.ends_in:  # Scores are what goes into the softmax.
        assert model.head.ends_in == "softmax"
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        assert_close(exponentials / exponentials.sum(axis=1, keepdims=True), expected)
    else:
        assert_close(scores, expected)
    if layer:
        assert_close(scores, activations[layer])


@pytest.mark.parametrize(
    ("network", "output", "message"),
    [
        (
            nnx_modules.Outputs,
            "",
            "The network returns 2 arrays: aux.0.deep (4,), logits (3,).\n"
            "Choose one: model.output=aux.0.deep",
        ),
        (
            nnx_modules.Outputs,
            "logit",
            "The network has no output 'logit': it returns aux.0.deep (4,), logits (3,).\n"
            "Did you mean logits?",
        ),
        (
            nnx_modules.Outputs,
            "zzz",
            "The network has no output 'zzz': it returns aux.0.deep (4,), logits (3,).\n"
            "Known: aux.0.deep, logits.",
        ),
        (
            keras_modules.several,
            "logit",
            "The network has no output 'logit': it returns aux (5,), logits (3,).\n"
            "Did you mean logits?",
        ),
        (
            functions.two_outputs,
            "",
            "The network returns 2 arrays: 0 (5,), 1.deep.0 (4,).\nChoose one: model.output=0",
        ),
        (
            functions.two_outputs,
            "1.deep",
            "The network has no output '1.deep': it returns 0 (5,), 1.deep.0 (4,).\n"
            "Did you mean 1.deep.0?",
        ),
    ],
)
def test_an_output_that_is_not_there_is_refused_by_name(
    network: Any, output: str, message: str, opened_once: Make
) -> None:
    with pytest.raises(ModelError) as caught:
        opened_once(network, output=output)
    assert str(caught.value) == message


def linen_front(parameters: Any, x: jax.Array) -> dict[str, jax.Array]:
    own = nested(parameters)["params"]
    front = linen_modules.Inner(4).apply({"params": own["front"]}, x)
    pooled = linen.max_pool(front, (2, 2), (2, 2))
    second = linen.Conv(5, (3, 3)).apply({"params": own["second"]}, pooled)
    return {"front": front, "second": second}


def keras_front(model: Model) -> Callable[[Any, jax.Array], Any]:
    layer = keras_of(model).get_layer("conv")
    return lambda parameters, x: {"conv": layer(x)}


FLAT = shaped(one=functions.SHAPES["one"], out=(64, 3))
# Network, its own evaluation, its front's by layers, and the layer that takes one size only.
FRONTS: dict[str, tuple[Any, Own, Own, str]] = {
    **{
        f"linen {name}": (
            partial(linen_modules.Front, inner),
            linens(partial(linen_modules.Front, linen_modules.Inner)),
            lambda model: linen_front,
            "head",
        )
        for name, inner in (
            ("plain", linen_modules.Inner),
            ("jit", linen.jit(linen_modules.Inner)),
            ("remat", linen.remat(linen_modules.Inner)),
        )
    },
    **{
        f"nnx {network.__name__}": (
            network,
            nnxs(network),
            lambda model, network=network: (
                lambda parameters, x: {"front": nnx_modules.module_of(network, parameters).front(x)}
            ),
            "head",
        )
        for network in (nnx_modules.Front, nnx_modules.JittedFront)
    },
    **{
        f"function {name}": (
            lambda function=function: (FLAT, function),
            plain(functions.flat, FLAT),
            plain(lambda params, x: {"one": conv(params["one"], x)}, FLAT),
            "out",
        )
        for name, function in (("plain", functions.flat), ("jit", jax.jit(functions.flat)))
    },
    "keras": (keras_modules.unbuilt, kerass, keras_front, "out"),
}


@pytest.mark.parametrize("case", FRONTS)
def test_the_front_of_a_network_takes_any_size(case: str, opened_once: Make) -> None:
    network, own, front, head = FRONTS[case]
    model = opened_once(network)
    whole, part = own(model), front(model)
    paths = tuple(jax.eval_shape(part, model.parameters, X))

    def all_of_it(model: Model, x: jax.Array, large: jax.Array) -> Any:
        return (
            model.apply(x),
            whole(model.parameters, x),
            [{path: model.activation(path, v) for path in paths} for v in (x, large)],
            part(model.parameters, large),
        )

    (logits, activations), expected, (same, found), wanted = at_once(all_of_it, model, X, LARGE)
    assert_close(logits, expected)
    for path in paths:
        assert_close(same[path], activations[path])
        assert_close(found[path], wanted[path])
    with pytest.raises(Exception, match=r"dot_general|kernel|shape"):
        model.activation(head, LARGE)


@pytest.mark.parametrize(
    ("network", "own"),
    [
        (linen_modules.Regular, linens(linen_modules.Regular, train=False)),
        (nnx_modules.Containers, nnxs(nnx_modules.Containers)),
        (keras_modules.any_size, kerass),
    ],
    ids=["linen", "nnx", "keras"],
)
def test_a_network_that_pools_takes_images_of_any_size(
    network: Any, own: Own, opened_once: Make
) -> None:
    model = opened_once(network)
    (logits, _), expected = beside(model, own(model), LARGE)
    assert logits.shape == (1, len(model.classes))
    assert_close(logits, expected)
