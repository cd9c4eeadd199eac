"""Labels to classes, and which images are chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reportgen.config import DataConfig
from reportgen.core.errors import ConfigError, DataError
from reportgen.data.labels import match
from reportgen.data.listing import Entry
from reportgen.data.select import balanced, choose, sample

CLASSES = ("cat", "dog", "fox")


def entries(*labels: str | None) -> list[Entry]:
    def read(spec: Any) -> np.ndarray:
        raise AssertionError("nothing is decoded while choosing")

    return [
        Entry(name=f"{i}.png", read=read, label=label, origin=f"The label {i}")
        for i, label in enumerate(labels)
    ]


def pick(
    labels: tuple[str | None, ...],
    network: tuple[str, ...] = CLASSES,
    seed: int = 0,
    **changes: Any,
) -> list[tuple[str, int | None]]:
    values: dict[str, Any] = {
        "source": "folder",
        "path": "x",
        "count": None,
        "balanced": False,
        "classes": [],
        "files": [],
        "images": "auto",
        "labels": "auto",
        "max_pixels": 1,
        **changes,
    }
    chosen = choose(entries(*labels), DataConfig(**values), network, seed)
    return [(entry.name.removesuffix(".png"), label) for entry, label in chosen]


@pytest.mark.parametrize(
    ("labels", "classes", "found"),
    [
        (["dog", "cat"], CLASSES, {"dog": 1, "cat": 0}),
        (["2", "0", "01"], CLASSES, {"2": 2, "0": 0, "01": 1}),
        # A name wins over a number.
        (["1", "0"], ("1", "0"), {"1": 0, "0": 1}),
        (["2", "3"], CLASSES, {}),
        (["2", "dog"], CLASSES, {"dog": 1}),
        (["7", "07"], tuple("0123456789"), {"7": 7, "07": 7}),
    ],
)
def test_match(labels: list[str], classes: tuple[str, ...], found: dict[str, int]) -> None:
    assert match(labels, classes) == found


def test_a_name_that_two_classes_share_is_refused() -> None:
    with pytest.raises(DataError, match=r"'crane' is the name of 2 classes: 0, 2.\nUse these numb"):
        match(["crane"], ("crane", "dog", "crane"))
    assert match(["dog"], ("crane", "dog", "crane")) == {"dog": 1}


def test_labels_that_are_no_class() -> None:
    with pytest.raises(
        DataError,
        match=r"^The label 1 'dgo' is none of the network's 3 classes. \(1 more .*\nDid you mean d",
    ):
        pick(("cat", "dgo", "bird"))
    with pytest.raises(DataError, match=r"The label 0 '3' is none of the network's 3 classes."):
        pick(("3",))
    with pytest.raises(
        DataError, match=r"'12' is none .* 3 classes.\nThey are counted from 0 to 2"
    ):
        pick(("12",), ("0", "1", "2"))


def test_words_are_not_guessed_to_be_outputs_in_alphabetical_order() -> None:
    numbers = ("0", "1", "2")
    with pytest.raises(
        DataError,
        match=r"'dog' is a word, and the network's 3 classes are numbers: .*\n"
        r"Name the classes .* 'model.classes=\[cat,dog,fox\]'; data.labels=null goes on without",
    ):
        pick(("dog", "cat", "fox"), numbers)
    with pytest.raises(
        DataError,
        match=r"'dog' is a word.*\nName .*: model.classes=\[…\], or model.classes=FILE .*; "
        "data.labels=null goes on without labels",
    ):
        pick(("dog", "cat"), numbers)
    assert pick(("dog", "cat", "fox")) == [("0", 1), ("1", 0), ("2", 2)]


def test_names_and_numbers_are_not_mixed() -> None:
    mixed = r"^The label 1 'dog' is a name; The label 0 '2' is a number.\nLabels are all names"
    for network in (CLASSES, ("0", "1", "2")):
        with pytest.raises(DataError, match=mixed):
            pick(("2", "dog"), network)
    # A class may be called by a number.
    assert pick(("2", "dog"), ("dog", "2")) == [("0", 1), ("1", 0)]
    with pytest.raises(DataError, match="'dgo' is none of the network's 2 classes"):
        pick(("2", "dgo"), ("dog", "2"))


def test_labels_do_not_apply_to_a_single_score() -> None:
    with pytest.raises(DataError, match=r"has one score, 'norm', .*\n.*data.labels=null"):
        pick(("cat", "dog"), ("norm",))


def test_without_labels_none_are_made_up() -> None:
    assert pick((None, None)) == [("0", None), ("1", None)]
    assert pick(("cat", None)) == [("0", None), ("1", None)]


def test_files_in_their_order() -> None:
    labels = ("cat", "dog", "elk")
    assert pick(labels[:2], files=["1.png", "0.png"]) == [("1", 1), ("0", 0)]
    # What is not asked for need not have a class of the network.
    assert pick(labels, files=["1.png"]) == [("1", 1)]
    with pytest.raises(
        DataError,
        match=r"data.files has '1.pgn', which is none of the 3 images. \(1 more .*\nDid you mean 1",
    ):
        pick(labels, files=["0.png", "1.pgn", "x"])


def test_only_some_classes() -> None:
    labels = ("cat", "dog", "cat", "elk", "fox")
    assert pick(labels, classes=["cat", "fox"]) == [("0", 0), ("2", 0), ("4", 2)]
    assert pick(labels, classes=["1"]) == [("1", 1)]
    with pytest.raises(
        ConfigError, match=r"data.classes has 'fxo', .* 3 classes.\nDid you mean fox"
    ):
        pick(labels, classes=["fxo"])
    with pytest.raises(DataError, match=r"None of the 2 images is of the classes .*: fox"):
        pick(("cat", "dog"), classes=["fox"])
    # An elk that is not filtered away is still an error.
    with pytest.raises(DataError, match="'elk' is none"):
        pick(labels)


@pytest.mark.parametrize("key", ["classes", "balanced"])
def test_what_needs_labels(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"data.{key} needs labels, and the images have none"):
        pick((None, "cat"), **{key: ["cat"] if key == "classes" else True})


@pytest.mark.parametrize(
    "change", [{"count": 1}, {"balanced": True}, {"classes": ["cat"]}], ids=lambda c: next(iter(c))
)
def test_contradictions(change: dict[str, Any]) -> None:
    (key,) = change
    with pytest.raises(ConfigError, match=rf"data.files names .* data.{key} would choose among"):
        pick(("cat",), files=["0.png"], **change)
    with pytest.raises(ConfigError, match=r"data.files has 0.png more than once"):
        pick(("cat",), files=["0.png", "0.png"])


def test_a_sample_keeps_the_order_and_follows_the_seed() -> None:
    draws = [sample(100, 10, seed).tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0] == sorted(set(draws[0]))
    assert sample(5, 9, 0).tolist() == sample(5, None, 0).tolist() == [0, 1, 2, 3, 4]
    # Every image has the same chance: 1,000 draws of 3 of 6 choose each about 500 times.
    times = np.bincount(np.concatenate([sample(6, 3, seed) for seed in range(1000)]))
    assert (abs(times - 500) < 80).all()


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ((9, 4, 6), None, (4, 4, 4)),
        ((9, 4, 6), 6, (2, 2, 2)),
        ((9, 1, 6), 9, (4, 1, 4)),
        ((9, 4, 6), 99, (9, 4, 6)),
    ],
)
def test_balanced(sizes: tuple[int, ...], count: int | None, expected: tuple[int, ...]) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), sizes))
    found = balanced(labels, count, 5)
    assert np.bincount(labels[found]).tolist() == list(expected)
    assert found.tolist() == sorted(set(found.tolist()))
    assert found.tolist() == balanced(labels, count, 5).tolist()
    if sum(expected) < sum(sizes):
        assert found.tolist() != balanced(labels, count, 6).tolist()


def test_who_gets_the_odd_image_is_drawn() -> None:
    labels = np.repeat(np.arange(3), 5)
    odd = {tuple(np.bincount(labels[balanced(labels, 7, seed)]).tolist()) for seed in range(40)}
    assert odd == {(3, 2, 2), (2, 3, 2), (2, 2, 3)}


def test_classes_that_have_fewer_than_asked_for_are_said(load: Any, tmp_path: Path) -> None:
    for name, count in (("cat", 6), ("dog", 1), ("fox", 3)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("L", (4, 4)).save(tmp_path / name / f"{i}.png")

    def notes(**changes: Any) -> tuple[str, ...]:
        notes: tuple[str, ...] = load("folder", tmp_path, classes=CLASSES, **changes).notes
        return notes

    assert notes(balanced=True, count=6) == (
        "The images are not as balanced as asked for: class dog has 1 of 2.",
    )
    assert "class dog has 1 of 4, class fox has 3 of 4." in notes(balanced=True, count=12)[0]
    # One each is what was asked for, and a sample that is not balanced asks for no number.
    assert notes(balanced=True, count=4) == notes(balanced=True) == notes(count=6) == ()


def test_balanced_by_the_configuration() -> None:
    labels = ("cat",) * 8 + ("dog",) * 2
    chosen = pick(labels, balanced=True)
    assert [label for _, label in chosen] == [0, 0, 1, 1]
    assert [name for name, _ in chosen][2:] == ["8", "9"]
