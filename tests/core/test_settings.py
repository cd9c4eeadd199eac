import pytest

from reportgen.core.errors import ConfigError
from reportgen.core.settings import Count, Fraction, Indices, Switch, Texts, parse, settings


@settings
class Inner:
    opacity: Fraction
    on: Switch


@settings
class Outer:
    layers: Texts
    images: Indices | None
    count: Count
    inner: Inner


GOOD = {"layers": "conv1", "images": 3, "count": 2, "inner": {"opacity": 0.5, "on": True}}


def test_one_value_is_taken_where_a_list_is_meant() -> None:
    outer = parse(Outer, GOOD)
    assert outer.layers == ("conv1",)
    assert outer.images == (3,)
    assert parse(Outer, {**GOOD, "images": None}).images is None
    assert parse(Outer, {**GOOD, "layers": ["a", {"kind": "conv"}, 2]}).layers == (
        "a",
        "kind:conv",
        "2",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, r"m.count: expected greater than or equal to 1, found 0"),
        ({"count": True}, r"m.count: expected an integer, found True"),
        ({"count": "abc"}, r"m.count: expected an integer, found 'abc'"),
        ({"layers": None}, r"m.layers: expected a list, found None"),
        ({"images": [-1]}, r"m.images.*: expected greater than or equal to 0, found -1"),
        ({"cout": 3}, r"m.cout: there is no such key.\nDid you mean count\?"),
        ({"inner": {"opacity": 2.0, "on": True}}, r"m.inner.opacity: expected less than or equal"),
        ({"inner": {"opacty": 1.0, "opacity": 1, "on": True}}, r"Did you mean opacity\?"),
        ({"inner": {"opacity": 1.0, "on": "yes"}}, r"m.inner.on: expected true or false, found"),
    ],
)
def test_a_wrong_value_or_key_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(Outer, {**GOOD, **change}, "m")


def test_every_wrong_key_is_listed_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Outer, {**GOOD, "count": 0, "layer": "x"}, "m")
    assert "m.count" in str(caught.value)
    assert "m.layer" in str(caught.value)
    with pytest.raises(ConfigError, match=r"m\.count: a value is missing"):
        parse(Outer, {k: v for k, v in GOOD.items() if k != "count"}, "m")
