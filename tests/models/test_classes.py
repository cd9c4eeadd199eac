"""Class names from the configuration or a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reportgen.core.errors import ModelError
from reportgen.models.classes import class_names


def test_names_are_taken_as_they_are() -> None:
    assert class_names(("cat", "dog")) == ("cat", "dog")
    assert class_names(("cat",)) == ("cat",)
    assert class_names(()) == ()


@pytest.mark.parametrize(
    "content",
    [
        ["tench", "great white shark"],
        {"0": "tench", "1": "great white shark"},
        {"1": ["n01484850", "great white shark"], "0": ["n01440764", "tench"]},
    ],
)
def test_json(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    assert class_names((str(path),)) == ("tench", "great white shark")


def test_text_with_a_blank_line_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("tench\r\ngreat white shark\n\n")
    assert class_names((str(path),)) == ("tench", "great white shark")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("3", "it holds a int"),
        ('["a", 3]', "3 is no name"),
        ('{"0": "a", "2": "b"}', "there is no class 1 among its 2"),
    ],
)
def test_a_file_that_holds_no_names_is_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(ModelError, match=message):
        class_names((str(path),))


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text("[]")
    with pytest.raises(ModelError, match=r"no file of class names .*lables[\s\S]*mean .*labels"):
        class_names((str(tmp_path / "lables.json"),))
    (tmp_path / "photo.png").touch()
    with pytest.raises(ModelError) as caught:
        class_names((str(tmp_path / "zzz.txt"),))
    assert caught.value.hint == f"There are: {tmp_path}/labels.json."
