"""Images that a CSV file lists, with their labels if it has a column for them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from reportgen.config import DataConfig
from reportgen.core.errors import DataError, did_you_mean, nearest
from reportgen.data import decode
from reportgen.data.listing import Entry, Listing, no_file

DELIMITERS = ",;\t|"


def open_source(config: DataConfig, path: str) -> Listing:
    """The images of a CSV file, in its order.

    The first line names the columns: ``path`` and, if there are labels, ``label`` (other names by
    ``data.images`` and ``data.labels``; other columns are passed over). Paths are relative to the
    file's folder. Labels are names or indices of classes.

    Raises:
      DataError: naming the line, if the file is not so.
    """
    file = Path(path)
    text = _text(file)
    first = text.partition("\n")[0]
    try:
        # Only the delimiter: what else is sniffed from one line is not to be relied on.
        delimiter = csv.Sniffer().sniff(first, DELIMITERS).delimiter
    except csv.Error:
        delimiter = ","  # one column: there is no delimiter to be found
    content = io.StringIO(text, newline="")
    reader = csv.reader(content, delimiter=delimiter, skipinitialspace=True, strict=True)
    rows = _rows(reader, file)
    columns = [column.strip() for column in next(rows, (0, []))[1]]
    at = _column(file, columns, "path" if config.images == "auto" else config.images)
    label_at = _label_column(file, columns, config.labels)
    entries: list[Entry] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        where = f"{file}, line {line}"
        if len(row) != len(columns):
            raise DataError(
                f"{where} has {len(row)} values for {len(columns)} columns.",
                "Put a value that holds the delimiter in double quotes.",
            )
        name, label = row[at].strip(), None if label_at is None else row[label_at].strip()
        if not name or label == "":
            raise DataError(
                f"{where}: the column {columns[at if not name else label_at or 0]} is empty."
            )
        if name in lines:
            raise DataError(f"{where} repeats line {lines[name]}: {name}")
        lines[name] = line
        read = partial(decode.read, file.parent / name, config.max_pixels)
        entries.append(Entry(name=name, read=read, label=label, origin=f"{where}: the label"))
    if not entries:
        raise DataError(f"{file} lists no images: nothing follows its first line.")
    return Listing(entries=tuple(entries), source=path)


def _text(file: Path) -> str:
    if not file.is_file():
        raise no_file(file, ".csv")
    try:
        # Spreadsheets begin their UTF-8 with a mark that is not part of the first column's name.
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f"{file}, line {line} is not UTF-8.", "Save it as CSV in UTF-8.") from error


def _rows(reader: Iterator[list[str]], file: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with their line numbers."""
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield reader.line_num, row  # type: ignore[attr-defined]
    except csv.Error as error:
        line = reader.line_num  # type: ignore[attr-defined]
        raise DataError(f"{file}, line {line} is no CSV: {error}.") from error


def _column(file: Path, columns: list[str], name: str) -> int:
    if not columns:
        raise DataError(
            f"{file} is empty.",
            "Its first line names the columns, path and label; each line after it is an image.",
        )
    if name not in columns:
        raise DataError(
            f"{file}, line 1 has no column {name!r}; its columns are: {', '.join(columns)}.",
            did_you_mean(name, columns),
        )
    return columns.index(name)


def _label_column(file: Path, columns: list[str], name: str | None) -> int | None:
    if name is None:
        return None
    if name != "auto":
        return _column(file, columns, name)
    if "label" in columns:
        return columns.index("label")
    # A slip of the pen should not pass for a file without labels.
    if near := nearest("label", columns, 1):
        raise DataError(
            f"{file}, line 1 has no column 'label', but {near[0]!r}.",
            f"Did you mean it? data.labels={near[0]} takes it as labels, data.labels=null none.",
        )
    return None
