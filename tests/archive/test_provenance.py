from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reportgen.archive.provenance import git_state, package_versions, source_date
from reportgen.core.errors import ConfigError


def test_git_commit_and_dirty_flag(tmp_path: Path) -> None:
    assert git_state(tmp_path) == ("", None)

    def git(*arguments: str) -> str:
        named = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *named, *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "c")
    assert git_state(tmp_path) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "a").write_text("2")
    assert git_state(tmp_path)[1] is True


def test_source_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert source_date() == ""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert source_date() == "1970-01-02T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH is 'today'"):
        source_date()


def test_versions_name_every_package() -> None:
    assert "missing" not in package_versions().values()
