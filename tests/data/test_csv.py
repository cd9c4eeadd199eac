"""CSV files as spreadsheets and people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from reportgen.core.errors import DataError


@pytest.fixture
def table(tmp_path: Path) -> Any:
    for k, name in enumerate(("a.png", "sub/b.png", "c,d.png")):
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (4, 4), (k, 0, 0)).save(path)

    def write(text: str | bytes) -> Path:
        path = tmp_path / "data" / "list.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "path,label\nsub/b.png,dog\na.png,cat\n",
        "path;label\r\nsub/b.png;dog\r\na.png;cat\r\n",
        "label\tnote\tpath\ndog\tx,y\tsub/b.png\n\ncat\t\ta.png",
        "path|label\nsub/b.png|1\na.png|0\n",
        '"path","label"\n"sub/b.png","dog"\n"a.png"," cat"\n',
        b"\xef\xbb\xbfpath,label\nsub/b.png,dog\na.png,cat\n",
    ],
)
def test_delimiters_quotes_and_marks(text: str, table: Any, load: Any) -> None:
    images = load("csv", table(text))
    assert images.names == ("sub/b.png", "a.png")
    assert images.labels.tolist() == [1, 0]
    assert images.pixels[:][:, 0, 0, 0].tolist() == [1, 0]


def test_without_labels(table: Any, load: Any) -> None:
    images = load("csv", table('path\n"c,d.png"\na.png\n'))
    assert images.names == ("c,d.png", "a.png")
    assert images.labels is None
    assert load("csv", table("path,label\na.png,elk\n"), labels=None).labels is None


def test_quotes_within_quotes(table: Any, load: Any) -> None:
    path = table('path, label\n"a ""b"".png", dog\n')
    Image.new("RGB", (4, 4)).save(path.with_name('a "b".png'))
    images = load("csv", path)
    assert images.names == ('a "b".png',)
    assert images.labels.tolist() == [1]


def test_columns_of_other_names(table: Any, load: Any) -> None:
    path = table("file,label,kind\na.png,zebra,dog\n")
    images = load("csv", path, images="file", labels="kind")
    assert (images.names, images.labels.tolist()) == (("a.png",), [1])


def test_absolute_paths(table: Any, load: Any, tmp_path: Path) -> None:
    where = tmp_path / "data" / "a.png"
    assert load("csv", table(f"path\n{where}\n")).names == (str(where),)


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("paht,label\na.png,cat\n", {}, r"list.csv, line 1 has no column 'path'; its columns are: "
         r"paht, label.\nDid you mean paht\?"),
        ("path,label\na.png,cat\n", {"labels": "lable"}, r"no column 'lable'; .*\nDid you mean la"),
        ("path,lable\na.png,cat\n", {}, r"no column 'label', but 'lable'.\nDid you mean it\? "
         "data.labels=lable"),
        ("path,label\na.png,cat\nsub/b.png\n", {}, "line 3 has 1 values for 2 columns"),
        ("path,label\na.png,cat\nc,d.png,dog\n", {}, "line 3 has 3 values .*\nPut .* quotes"),
        ("path,label\na.png,cat\n\nsub/b.png,\n", {}, "line 4: the column label is empty"),
        ("path,label\n,cat\n", {}, "line 2: the column path is empty"),
        ("path,label\na.png,cat\na.png,dog\n", {}, "line 3 repeats line 2: a.png"),
        ("path,label\na.png,cta\n", {}, r"list.csv, line 2: the label 'cta' is none of the "
         r"network's 2 classes.\nDid you mean cat\?"),
        ("path,label\n", {}, "lists no images: nothing follows its first line"),
        ("", {}, r"list.csv is empty.\nIts first line names the columns, path and label"),
        ("path,label\na.png,cat\nsub/b.png,1\n", {}, r"list.csv, line 2: the label 'cat' is a "
         r"name; .*list.csv, line 3: the label '1' is a number.\nLabels are all names"),
        (b"path\na.png\nb\xff.png\n", {}, "line 3 is not UTF-8"),
        ('path,label\n"a.png"x,cat\n', {}, "line 2 is no CSV: "),
    ],
)  # fmt: skip
def test_messages(text: str, changes: dict[str, Any], message: str, table: Any, load: Any) -> None:
    with pytest.raises(DataError, match=message):
        load("csv", table(text), **changes)


def test_missing_images_are_listed(table: Any, load: Any) -> None:
    images = load("csv", table("path,label\nnowhere.png,cat\na.png,dog\na.png/x.png,dog\n"))
    assert images.names == ("a.png",)
    assert images.labels.tolist() == [1]
    assert [(item.name, item.reason) for item in images.skipped] == [
        ("nowhere.png", "there is no such file"),
        ("a.png/x.png", "there is no such file"),
    ]


def test_a_file_that_is_not_there(table: Any, load: Any) -> None:
    path = table("path\na.png\n")
    with pytest.raises(DataError, match=r"There is no file .*lost.csv.\nDid you mean .*list.csv"):
        load("csv", path.with_name("lost.csv"))
    with pytest.raises(DataError, match=r" is a folder, and data=csv takes a file.\n.*data=folder"):
        load("csv", path.parent)
