from pathlib import Path

from reportgen.core.paths import beside


def _is_csv(path: Path) -> bool:
    return path.suffix == ".csv"


def test_what_lies_beside_a_path_that_is_not_there(tmp_path: Path) -> None:
    for name in ("list.csv", "list.txt", "photos.zip", "o1.csv", ".list.csv"):
        (tmp_path / name).touch()
    # What fits wins over what is as near, and a folder's own name makes nothing near.
    assert beside(tmp_path / "lits.csv", _is_csv) == f"Did you mean {tmp_path}/list.csv?"
    assert beside(tmp_path / "photo.zip", _is_csv) == f"Did you mean {tmp_path}/photos.zip?"
    assert (
        beside(tmp_path / "zzz", _is_csv) == f"There are: {tmp_path}/list.csv, {tmp_path}/o1.csv."
    )
    assert beside(tmp_path / "zzz", lambda path: False) == ""
    lost = tmp_path / "lost"
    assert beside(lost / "list.csv", _is_csv) == f"There is no folder {lost} either."


def test_no_more_than_five_are_listed(tmp_path: Path) -> None:
    for i in range(9):
        (tmp_path / f"a{i}.csv").touch()
    hint = beside(tmp_path / "zzz", _is_csv)
    assert hint.count(".csv") == 5
    assert hint.endswith("a4.csv, ….")
