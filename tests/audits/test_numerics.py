"""The check ``numerics``: right programs pass, wrong rules and derivatives are found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.audits.choice import chosen_audits
from reportgen.audits.evidence import Evidence
from reportgen.audits.run import run_audit
from reportgen.config import read
from reportgen.core.blocks import Finding
from reportgen.core.checks import Check
from reportgen.core.errors import NotApplicableError
from reportgen.core.spec import InputSpec
from reportgen.engine.programs import compiled_program
from reportgen.engine.rows import Engine
from reportgen.methods import numerics
from reportgen.methods.numerics import GRADIENT, LOGITS, Off, compared, off
from reportgen.methods.survey import Survey
from reportgen.models import trace
from reportgen.rewrite import convolutions, pooling

SPEC = InputSpec(height=8, width=8, channels=1)


def one(images: Any) -> Any:
    """The first image alone: more are not looked at."""
    return replace(images, listed=1)


@pytest.fixture
def judged(composed: Callable[..., Any], digits: Any) -> Callable[..., Any]:
    """The check, its findings by what they are about."""

    def run(model: Any, images: Any = None) -> tuple[Check, dict[str, Finding]]:
        audits = chosen_audits(read(composed("audit=[numerics]")).audit)
        evidence = Evidence(
            Survey(model, one(digits) if images is None else images, Engine.local(8))
        )
        ((check, findings),) = run_audit(audits, evidence, date(2026, 1, 15), print).values()
        return check, {finding.where: finding for finding in findings}

    return run


@pytest.fixture
def traced_anew() -> Iterator[None]:
    """Programs are traced and compiled with what a test plants, and not kept."""
    for forget in (trace._trace.cache_clear, compiled_program.cache_clear):
        forget()
    yield
    for forget in (trace._trace.cache_clear, compiled_program.cache_clear):
        forget()


@pytest.mark.parametrize("name", ["lenet", pytest.param("digits_cnn", marks=pytest.mark.slow)])
def test_embedded_networks_pass(opened: Any, digits: Any, judged: Any, name: str) -> None:
    model = opened(f"model={name}")
    assert model.kernels is not None  # lowered
    check, findings = judged(model)
    assert (check.outcome, findings, check.measured) == ("passed", {}, 3)
    assert check.value is not None
    assert 0 < check.value < 3e-6
    assert "from the network without compilation and" in check.message
    assert "from float64" in check.message
    found = compared(Survey(model, one(digits), Engine.local(8)))
    assert [part.where for part in found][::2] == [LOGITS, GRADIENT]
    assert [part.layer for part in found] == [False, True, False]
    layer = model.layer(found[1].where)
    assert layer.parameter_count
    for part in found:
        assert isinstance(part.exact, Off)
        assert part.plain.largest < 3e-6
        assert part.exact.largest < 3e-6


@pytest.mark.usefixtures("traced_anew")
def test_a_wrong_derivative_of_a_pooling(
    opened: Any, judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = pooling._spread
    monkeypatch.setattr(pooling, "_spread", lambda line, shares: right(line, shares[::-1]))
    check, findings = judged(opened("model=lenet"))
    assert (check.outcome, check.where) == ("fail", GRADIENT)
    assert findings.keys() == {GRADIENT}
    assert findings[GRADIENT].value == check.value
    assert check.value > 0.01
    assert "engine.cpu_lowerings=false" in findings[GRADIENT].advice


@pytest.mark.usefixtures("traced_anew")
def test_a_convolution_that_is_a_hundredth_low(
    opened: Any, judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = convolutions._run
    monkeypatch.setattr(
        convolutions, "_run", lambda geometry, x, kernel: 0.99 * right(geometry, x, kernel)
    )
    check, findings = judged(opened("model=lenet"))
    assert check.outcome == "fail"
    assert {LOGITS, GRADIENT} < findings.keys()
    assert 5e-3 < findings[LOGITS].value < 0.1
    # As it is written the network is right.
    assert judged(opened("model=lenet", "engine.cpu_lowerings=false"))[0].outcome == "passed"


def test_without_images_there_is_nothing_to_compare(lenet: Any, digits: Any, judged: Any) -> None:
    check, findings = judged(lenet, replace(digits, listed=0))
    assert (check.outcome, check.message, findings) == ("skipped", "There are no images.", {})


def network(cast: Any) -> Callable[[], Any]:
    def forward(params: Any, x: Any) -> Any:
        x = jax.nn.relu(x.reshape(len(x), -1).astype(cast(x)) @ params["one"]["w"].astype(cast(x)))
        return x @ params["two"]["w"].astype(cast(x))

    def init(key: Any) -> Any:
        one, two = jax.random.split(key)
        return {
            "one": {"w": jax.random.normal(one, (64, 9))},
            "two": {"w": jax.random.normal(two, (9, 3))},
        }

    return lambda: (init, forward)


@pytest.fixture
def small(model_of: Any, digits: Any) -> Callable[..., Survey]:
    """A survey of a small network that computes in some type, and a random image."""

    def make(cast: Any, budget: int | None = None) -> Survey:
        pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 1)).astype(np.float32)
        images = replace(digits, pixels=pixels, listed=1)
        return Survey(model_of(network(cast), SPEC), images, Engine.local(8, budget))

    return make


def test_a_network_of_16_bits_is_not_measured(small: Any) -> None:
    with pytest.raises(NotApplicableError, match="computes in bfloat16"):
        compared(small(lambda x: jnp.bfloat16))


def test_a_network_that_stays_in_float32(small: Any) -> None:
    found = compared(small(lambda x: jnp.float32))
    assert {part.exact for part in found} == {"it computes in float32 whatever it is given"}
    assert max(part.plain.largest for part in found) < 1e-6


def test_float64_is_left_out_where_it_takes_too_much(small: Any) -> None:
    found = compared(small(lambda x: x.dtype, budget=5000))
    assert {part.exact for part in found} == {"there is too little memory"}


def test_a_network_that_runs_compiled_alone(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = small(lambda x: x.dtype)
    survey.seen  # noqa: B018 (before jit is looked for)

    def alone(closed: Any) -> Any:
        raise ValueError("only with jit")

    monkeypatch.setattr(numerics, "_alone", alone)
    with pytest.raises(NotApplicableError, match="ValueError: only with jit"):
        compared(survey)


def test_on_an_accelerator_products_are_of_float32(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = small(lambda x: x.dtype)
    monkeypatch.setattr(Engine, "on_cpu", False)
    seen: list[str] = []
    right = numerics._precise

    def looked(closed: Any) -> Any:
        made = right(closed)
        seen.append(str(made.jaxpr))
        return made

    monkeypatch.setattr(numerics, "_precise", looked)
    assert max(part.plain.largest for part in compared(survey)) < 1e-6
    assert all("HIGHEST" in program for program in seen)
    assert len(seen) == 3  # compiled, in float32 and in float64


def test_differences_are_shares_of_the_largest() -> None:
    right = np.array([0.0, 0.0, 1.0, -4.0, 2.0])
    assert off(right, right) == (0, 0)
    # Of what is zero in both nothing is learned: the median is that of the others.
    assert off(np.array([0.0, 0.0, 1.0, -4.4, 2.0]), right) == pytest.approx((0.1, 0))
    assert off(np.array([0.0, 0.0, 1.2, -4.4, 2.0]), right) == pytest.approx((0.1, 0.05))
    assert off(np.zeros(3), np.zeros(3)) == (0, 0)
    assert off(np.ones(3), np.zeros(3)) == (1, 1)


def test_what_is_not_finite_is_so_in_both() -> None:
    right = np.array([np.nan, np.inf, 2.0])
    assert off(right, right) == (0, 0)
    assert off(np.array([np.nan, 1.0, 2.0]), right) == (math.inf, math.inf)
    assert off(np.full(2, np.nan), np.full(2, np.nan)) == (0, 0)
