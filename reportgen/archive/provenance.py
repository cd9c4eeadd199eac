"""Where a report comes from: versions, device, code, configuration."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import reportgen
from reportgen.core.errors import ConfigError
from reportgen.core.known_answers import KnownAnswers
from reportgen.core.report import Provenance

PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "numpy", "pillow", "matplotlib", "typst", "jinja2"),
    *("hydra-core", "safetensors", "pydantic"),
)


_JAX = re.compile(r"jax\s*\(?([<>=!~][^;)]*)")


def package_versions() -> dict[str, str]:
    """Version of every package that has a part in a report; ``missing`` if it is not installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions


def other_jax() -> str:
    """The command that installs another version of JAX, of those that reportgen runs on."""
    try:
        asked = metadata.requires("reportgen") or []
    except metadata.PackageNotFoundError:
        asked = []
    window = next((found[1] for one in asked if (found := _JAX.match(one))), "")
    bounds = [part.strip() for part in window.split(",") if part.strip()]
    bounds.append(f"!={package_versions()['jax']}")
    return f"pip install 'jax{','.join(dict.fromkeys(bounds))}'"


def git_state(folder: Path) -> tuple[str, bool | None]:
    """Commit of the folder's repository and whether it has changes; ("", None) outside of one."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "", None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()


def source_date() -> str:
    """SOURCE_DATE_EPOCH as ISO 8601 in UTC; empty if it is not set.

    Raises:
      ConfigError: if it is set to something that is no time.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return ""
    try:
        return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            f"SOURCE_DATE_EPOCH is {epoch!r}.", "It is a number of seconds since 1970-01-01 UTC."
        ) from error


def provenance(
    *, device: str, seed: int, config_sha256: str, known_answers: KnownAnswers | None = None
) -> Provenance:
    """Everything that is needed to make the same report again."""
    commit, dirty = git_state(Path.cwd())
    return Provenance(
        reportgen=reportgen.__version__,
        python=platform.python_version(),
        packages=package_versions(),
        device=device,
        seed=seed,
        config_sha256=config_sha256,
        git_commit=commit,
        git_dirty=dirty,
        created=source_date(),
        known_answers=known_answers,
    )
