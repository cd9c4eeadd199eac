"""The networks and images that come with reportgen, and the script that made them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
DIGITS = FOLDER / "digits.npz"
DIGITS_LICENCE = (
    "UCI Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, 1998), CC BY 4.0"
)
