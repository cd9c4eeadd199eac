"""The numbers at the head of a report."""

from __future__ import annotations

from reportgen.core.report import headline


def test_numbers_of_maps_become_one_table() -> None:
    alone, maps = headline(
        {"accuracy": 0.5, "LRP: ROAD ↑": 0.25, "Saliency: ROAD ↑": 0.125, "LRP: AUC ↓": 1.0}
    )
    assert alone == {"accuracy": 0.5}
    assert maps is not None
    assert maps.columns == ("map", "ROAD ↑", "AUC ↓")
    assert maps.rows == (("LRP", 0.25, 1.0), ("Saliency", 0.125, None))
    assert headline({"accuracy": 0.5}) == ({"accuracy": 0.5}, None)
