"""Scores are logits: the softmax at a network's end is found, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax

from reportgen.config import ScoreConfig
from reportgen.core.errors import ModelError
from reportgen.core.spec import InputSpec
from reportgen.models.base import Model
from reportgen.models.head import Head, choose_output, ending
from tests.at_once import at_once

from .networks import beside, run
from .nnx_modules import module_of

SPEC = InputSpec(height=4, width=4, channels=2, fixed_size=True)
LOGITS = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]], np.float32)
X = np.random.default_rng(3).normal(size=(2, 4, 4, 2)).astype(np.float32)


def by_hand(x: jax.Array) -> jax.Array:
    e = jnp.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def by_hand_shifted(x: jax.Array) -> jax.Array:
    e = jnp.exp(x - x.max(axis=-1, keepdims=True))
    return e / jnp.sum(e, axis=-1)[..., None]


def by_hand_shifted_and_stopped(x: jax.Array) -> jax.Array:
    e = jnp.exp(x - lax.stop_gradient(jnp.max(x, -1, keepdims=True)))
    return e / e.sum(-1, keepdims=True)


def log_by_hand(x: jax.Array) -> jax.Array:
    return x - jnp.log(jnp.exp(x).sum(-1, keepdims=True))


def log_by_hand_shifted(x: jax.Array) -> jax.Array:
    shifted = x - lax.stop_gradient(x.max(-1, keepdims=True))
    return shifted - jnp.log(jnp.sum(jnp.exp(shifted), -1, keepdims=True))


ENDINGS: dict[str, tuple[Callable[[jax.Array], jax.Array], str]] = {
    "jax": (jax.nn.softmax, "softmax"),
    "jax, log": (jax.nn.log_softmax, "log_softmax"),
    "jax, sigmoid": (jax.nn.sigmoid, "sigmoid"),
    "flax nnx": (nnx.softmax, "softmax"),
    "flax nnx, log": (nnx.log_softmax, "log_softmax"),
    "flax nnx, sigmoid": (nnx.sigmoid, "sigmoid"),
    "flax linen": (linen.softmax, "softmax"),
    "lax.logistic": (lax.logistic, "sigmoid"),
    "by hand": (by_hand, "softmax"),
    "by hand, shifted": (by_hand_shifted, "softmax"),
    "by hand, shifted, stopped": (by_hand_shifted_and_stopped, "softmax"),
    "log by hand": (log_by_hand, "log_softmax"),
    "log by hand, shifted": (log_by_hand_shifted, "log_softmax"),
    "log of logsumexp": (
        lambda x: x - jax.nn.logsumexp(x, axis=-1, keepdims=True), "log_softmax"
    ),
    "log of each image's logsumexp": (
        jax.vmap(lambda x: x - jax.nn.logsumexp(x)), "log_softmax"
    ),
    "over two axes": (lambda x: jax.nn.softmax(x.reshape(2, 3, 1), axis=(1, 2)), "softmax"),
    "jit": (jax.jit(jax.nn.softmax), "softmax"),
    "jit of jit": (jax.jit(lambda x: jax.jit(by_hand_shifted)(x)), "softmax"),
    "remat": (jax.checkpoint(jax.nn.softmax), "softmax"),
    "remat in jit": (jax.jit(jax.checkpoint(by_hand)), "softmax"),
    "cast after": (lambda x: jax.nn.softmax(x).astype(jnp.bfloat16), "softmax"),
    "cast before and after": (
        lambda x: jax.nn.softmax(x.astype(jnp.bfloat16)).astype(jnp.float32), "softmax"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
def test_softmax_and_its_kin_are_found_at_the_end(name: str) -> None:
    function, kind = ENDINGS[name]
    found = ending(jax.make_jaxpr(function)(LOGITS).jaxpr)
    assert found is not None
    assert found.kind == kind


# What looks like a softmax in part.
OTHERS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "quotient of two exponentials": lambda x: jnp.exp(x) / jnp.exp(2 * x),
    "exponential over another's sum": lambda x: jnp.exp(x) / jnp.exp(2 * x).sum(-1, keepdims=True),
    "exponential over a sum of values": lambda x: jnp.exp(x) / x.sum(-1, keepdims=True),
    "exponential over its mean's square": lambda x: (
        jnp.exp(x) / jnp.square(jnp.exp(x).sum(-1, keepdims=True))
    ),
    "over the batch": lambda x: jax.nn.softmax(x, axis=0),
    "something times a softmax": lambda x: 2 * jax.nn.softmax(x),
    "softmax before a product": lambda x: jax.nn.softmax(x) @ jnp.ones((3, 3)),
    "sum over classes of a softmax": lambda x: jax.nn.softmax(x).sum(-1),
    "less its mean": lambda x: x - x.mean(-1, keepdims=True),
    "less the log of a sum": lambda x: x - jnp.log(x.sum(-1, keepdims=True)),
    "less another's log of a sum of exponentials": lambda x: (
        x - jax.nn.logsumexp(2 * x, axis=-1, keepdims=True)
    ),
    "an output that is the input": lambda x: x,
    "a constant output": lambda x: jnp.zeros(3),
}


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_else_is_taken_for_one(name: str) -> None:
    assert ending(jax.make_jaxpr(OTHERS[name])(LOGITS).jaxpr) is None


Function = Callable[[Any, jax.Array], Any]


def init(key: jax.Array) -> dict[str, jax.Array]:
    first, second = jax.random.split(key)
    return {
        "w": jax.random.normal(first, (32, 3)),
        "c": jax.random.normal(second, (3, 3, 2, 5)),
        "b": jnp.array([0.5, -1.0, 2.0]),
    }


def dense(params: Any, x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1) @ params["w"] + params["b"]


def maps(params: Any, x: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        x, params["c"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def attention_then_dense(params: Any, x: jax.Array) -> jax.Array:
    tokens = x.reshape(x.shape[0], 16, 2)
    weights = jax.nn.softmax(jnp.einsum("nqc,nkc->nqk", tokens, tokens))
    return dense(params, jnp.einsum("nqk,nkc->nqc", weights, tokens).reshape(x.shape))


def with_bias_after(params: Any, x: jax.Array) -> jax.Array:
    """Softmax of adjusted logits: what is subtracted differs from class to class."""
    logits = dense(params, x)
    e = jnp.exp(logits - params["b"])
    return e / e.sum(-1, keepdims=True)


class Jitted(nnx.Module):
    """A whole model in nnx.jit, with remat inside of it and two outputs of one shape."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.one = nnx.Linear(32, 3, rngs=rngs)
        self.two = nnx.Linear(32, 3, rngs=rngs)

    def logits(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        flat = x.reshape(x.shape[0], -1)
        return self.one(flat), self.two(flat)

    @nnx.jit
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        first, second = self.logits(x)
        softmax = jax.jit(lambda v: jax.nn.softmax(v))
        return {"first": softmax(first), "second": nnx.remat(softmax)(second), "third": first}


@pytest.mark.parametrize("depth", ["plain", "jit", "remat"])
@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (jax.nn.softmax, "softmax"),
        (jax.nn.log_softmax, "log_softmax"),
        (jax.nn.sigmoid, "sigmoid"),
        (by_hand, "softmax"),
        (by_hand_shifted, "softmax"),
        (lambda x: jax.nn.softmax(x).astype(jnp.bfloat16), "softmax"),
    ],
)
def test_scores_and_their_gradient_are_those_of_the_true_logits(
    end: Any, kind: str, depth: str, model_of: Any
) -> None:
    def f(params: Any, x: jax.Array) -> jax.Array:
        return end(dense(params, x))

    network = {"plain": f, "jit": jax.jit(f), "remat": jax.checkpoint(f)}[depth]
    model = model_of(lambda: (init, network), SPEC)
    assert model.head.ends_in == kind

    def run(model: Model, x: jax.Array) -> Any:
        slope = jax.grad(lambda x: model.apply(x)[0][:, 1].sum())(x)
        return model.apply(x)[0], dense(model.parameters, x), slope

    scores, logits, got = at_once(run, model, X)
    np.testing.assert_allclose(scores, logits, rtol=1e-5, atol=1e-5)
    assert scores.dtype == np.float32
    column = np.asarray(model.parameters["w"])[:, 1].reshape(4, 4, 2)
    np.testing.assert_allclose(got, np.stack([column, column]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "ends_in", "scores"),
    [
        (attention_then_dense, "", attention_then_dense),
        (lambda p, x: jax.nn.softmax(dense(p, x) / 4.0), "softmax", lambda p, x: dense(p, x) / 4.0),
        (with_bias_after, "softmax", lambda p, x: dense(p, x) - p["b"]),
        (lambda p, x: jax.nn.softmax(dense(p, x)) * 2, "", None),
    ],
    ids=["attention", "temperature", "adjusted logits", "scaled probabilities"],
)
def test_logits_are_what_goes_into_the_last_softmax_and_no_other(
    network: Function, ends_in: str, scores: Function | None, model_of: Any
) -> None:
    model = model_of(lambda: (init, network), SPEC)
    assert model.head.ends_in == ends_in
    (found, _), expected = beside(model, scores or network, X)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("output", "index"), [("first", 0), ("second", 1)])
def test_of_two_outputs_in_one_jit_each_has_its_own_logits(
    output: str, index: int, model_of: Any
) -> None:
    model = model_of(Jitted, SPEC, output=output)
    assert model.head.ends_in == "softmax"
    own = lambda parameters, x: module_of(Jitted, parameters).logits(x)[index]  # noqa: E731
    (found, _), expected = beside(model, own, X)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert model_of(Jitted, SPEC, output="third").head.ends_in == ""


@pytest.mark.parametrize("end", [jax.jit(jax.nn.softmax), jax.nn.log_softmax, jax.nn.sigmoid])
@pytest.mark.parametrize("output", ["0", "1", "2"])
def test_a_jitted_softmax_that_is_called_for_several_heads_is_told_apart(
    end: Any, output: str, model_of: Any
) -> None:
    """JAX traces it once, so that its operations are the same objects in all calls."""

    def f(params: Any, x: jax.Array) -> Any:
        logits = dense(params, x)
        return end(logits), end(logits + 1.0), end(2.0 * logits)

    model = model_of(lambda: (init, f), SPEC, output=output)
    (found, _), logits = beside(model, dense, X)
    expected = (logits, logits + 1.0, 2.0 * logits)[int(output)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_taps_behind_the_logits_do_not_change_scores_and_those_before_do(model_of: Any) -> None:
    model = model_of(lambda: (init, lambda p, x: jax.nn.softmax(dense(p, x))), SPEC)
    assert [layer.path for layer in model.layers] == ["w"]
    moved, scores = (run(model, X, taps)[0] for taps in ({"w": np.ones((2, 3), "f4")}, None))
    np.testing.assert_allclose(moved, scores + 1.0, rtol=1e-5)


@pytest.mark.parametrize("end", [lambda x: x, jax.nn.softmax, jax.nn.sigmoid])
@pytest.mark.parametrize(
    ("score", "more", "expected"),
    [
        ("channel_mean", {}, lambda v: v.mean(axis=(1, 2))),
        ("pixel", {}, lambda v: v[:, 2, 2]),
        ("pixel", {"row": 0, "col": 3}, lambda v: v[:, 0, 3]),
        ("pixel", {"row": 1}, lambda v: v[:, 1, 2]),
        ("norm", {}, lambda v: jnp.sqrt((v**2).sum(axis=(1, 2, 3)))[:, None]),
    ],
    ids=["channel_mean", "centre", "pixel", "row", "norm"],
)
def test_scores_of_dense_outputs(
    score: str, more: dict[str, int], expected: Any, end: Any, model_of: Any
) -> None:
    model = model_of(lambda: (init, lambda p, x: end(maps(p, x))), SPEC, score=score, **more)
    (found, _), values = beside(model, lambda params, x: expected(maps(params, x)), X)
    np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-5)
    assert len(model.classes) == values.shape[1]


@pytest.mark.parametrize("score", ["channel_mean", "norm"])
def test_scores_of_outputs_of_other_ranks(score: str, model_of: Any) -> None:
    """Tokens (N, T, C) have channels too, and the norm is of any output."""
    model = model_of(
        lambda: (init, lambda p, x: maps(p, x).reshape(x.shape[0], 16, 5)), SPEC, score=score
    )
    (found, _), values = beside(model, maps, X)
    wanted = values.mean((1, 2)) if score == "channel_mean" else np.sqrt((values**2).sum((1, 2, 3)))
    np.testing.assert_allclose(found, wanted.reshape(2, -1), rtol=1e-5, atol=1e-5)


def head(kind: str, ends_in: str = "", output: str = "", **place: int) -> Head:
    config = ScoreConfig(kind=kind, row=place.get("row"), column=place.get("column"))  # type: ignore[arg-type]
    return Head(output=output, ends_in=ends_in, score=config)


def test_the_norm_of_an_embedding() -> None:
    np.testing.assert_allclose(head("norm").scores(jnp.array([[3.0, 4.0], [0.0, 2.0]])), [[5], [2]])


@pytest.mark.parametrize(
    ("made", "shape", "message"),
    [
        (
            head("logit"),
            (2, 4, 4, 5),
            "score=logit needs an output of one axis (classes,), found (4, 4, 5).\n"
            "For a dense prediction choose score=channel_mean, or score=pixel score.row=… "
            "score.column=…; for an embedding score=norm.",
        ),
        (
            head("channel_mean"),
            (2, 5),
            "score=channel_mean needs an output (…, channels), found (5,).\n"
            "For a vector choose score=logit or score=norm.",
        ),
        (
            head("pixel"),
            (2, 16, 5),
            "score=pixel needs an output (height, width, channels), found (16, 5).\n"
            "For a vector choose score=logit or score=norm.",
        ),
        (
            head("pixel", row=4, column=0),
            (2, 4, 6, 5),
            "score=pixel: there is no row 4, column 0 in an output of (4, 6, 5).\n"
            "Rows go from 0 to 3, columns from 0 to 5.",
        ),
        (
            head("pixel", column=6),
            (2, 4, 6, 5),
            "score=pixel: there is no row 2, column 6 in an output of (4, 6, 5).\n"
            "Rows go from 0 to 3, columns from 0 to 5.",
        ),
        *(
            (
                head(score),
                shape,
                f"The network returns an array of shape {shape}; (N, classes) is expected, a row "
                "of scores for each of N images.\n"
                "Return the scores before they are summed up; of a single score for each image, "
                "(N, 1).",
            )
            for score, shape in (("logit", ()), ("logit", (2,)), ("norm", ()), ("pixel", (2,)))
        ),
    ],
)
def test_an_output_that_does_not_fit_the_score_is_refused(
    made: Head, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ModelError) as caught:
        made.scores(jnp.zeros(shape))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (head("logit", "softmax"), "logits, before the softmax that the network ends in"),
        (head("logit"), "logits, before any softmax"),
        (head("norm", output="z"), "L2 norm of the output of output 'z', before any softmax"),
        (
            head("channel_mean", "sigmoid"),
            "mean of each output channel over all positions, "
            "before the sigmoid that the network ends in",
        ),
        (head("pixel"), "output channels at the centre, before any softmax"),
        (
            head("pixel", row=1, column=2),
            "output channels at row 1, column 2, before any softmax",
        ),
    ],
)
def test_the_report_says_what_scores_are(made: Head, words: str) -> None:
    assert made.words == words


RETURNED = {"logits": jnp.ones((2, 3)), "heads": [jnp.ones((2, 4)), {"deep": jnp.ones((2, 5))}]}


@pytest.mark.parametrize(("name", "size"), [("logits", 3), ("heads.0", 4), ("heads.1.deep", 5)])
def test_outputs_are_chosen_by_key_and_index(name: str, size: int) -> None:
    assert choose_output(RETURNED, name).shape == (2, size)


def test_the_only_array_needs_no_choice() -> None:
    assert choose_output(jnp.ones((2, 3)), "").shape == (2, 3)
    assert choose_output((None, {"a": jnp.ones((2, 4))}), "").shape == (2, 4)
    assert choose_output((jnp.ones((2, 3)), jnp.ones((2, 4))), "1").shape == (2, 4)


@pytest.mark.parametrize(
    ("returned", "name", "message"),
    [
        (
            RETURNED,
            "",
            "The network returns 3 arrays: heads.0 (4,), heads.1.deep (5,), logits (3,).\n"
            "Choose one: model.output=heads.0",
        ),
        (
            RETURNED,
            "logit",
            "The network has no output 'logit': it returns heads.0 (4,), heads.1.deep (5,), "
            "logits (3,).\nDid you mean logits?",
        ),
        (
            (jnp.ones((2, 3)), jnp.ones((2, 4))),
            "2",
            "The network has no output '2': it returns 0 (3,), 1 (4,).\nKnown: 0, 1.",
        ),
        (
            jnp.ones((2, 3)),
            "logits",
            "The network has no output 'logits': it returns the output (3,).\n"
            "Leave model.output= out: there is but one.",
        ),
        (None, "", "The network returns no array but NoneType."),
        ({}, "x", "The network has no output 'x': it returns no array."),
    ],
)
def test_a_wrong_choice_of_output_lists_what_there_is(
    returned: Any, name: str, message: str
) -> None:
    with pytest.raises(ModelError) as caught:
        choose_output(returned, name)
    assert str(caught.value) == message
