import math

import pytest

from reportgen.render import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (0.5, "0.5"),
        (3.14159, "3.142"),
        (31.4159, "31.42"),
        (314.159, "314.2"),
        (999.96, "1,000"),
        (12345.6, "12,346"),
        (-0.031249, "−0.03125"),
        (0.000123456, "0.0001235"),
        (0.0000123456, "1.235e−5"),
        (1.0e-300, "1e−300"),
        (9999999.4, "9,999,999"),
        (12345678.0, "1.235e7"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_number(value, text):
    assert numbers.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.973125, "97.31 %"), (1.0, "100 %"), (0.99996, "100 %"), (0.5, "50 %"), (0.0, "0 %")],
)
def test_percent(value, text):
    assert numbers.percent(value) == text


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (None, "", "–"),
        (True, "accuracy", "yes"),
        (False, "", "no"),
        (61706, "", "61,706"),
        (-3, "", "−3"),
        (0.97, "accuracy", "97 %"),
        (0.97, "Top-5", "97 %"),
        (0.97, "top5_accuracy", "97 %"),
        (0.12, "dead share", "12 %"),
        (1.2, "accuracy", "1.2"),
        (math.nan, "accuracy", "NaN"),
        (0.97, "loss", "0.97"),
        (0.001, "learning rate", "0.001"),
        (0.97, "inaccuracy", "0.97"),
        ("0.9700", "accuracy", "0.9700"),
    ],
)
def test_cell(value, name, text):
    assert numbers.cell(value, name) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (9999, "9,999"),
        (10_000, "10 k"),
        (61_706, "61.71 k"),
        (999_949, "999.9 k"),
        (999_951, "1 M"),
        (138_357_544, "138.4 M"),
        (15_470_264_320, "15.47 G"),
        (-20_000, "−20 k"),
    ],
)
def test_quantity(value, text):
    assert numbers.quantity(value) == text


def test_settings_are_not_rounded():
    value = {"layers": ["conv*", 0.123456789], "limit": None, "each": True}
    assert numbers.setting(value) == "{layers: [conv*, 0.123456789], limit: null, each: true}"


def test_counted():
    assert numbers.counted(1, "image") == "1 image"
    assert numbers.counted(2000, "image") == "2,000 images"
