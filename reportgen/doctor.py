"""``reportgen doctor``: what is there, and what is missing."""

from __future__ import annotations

import platform
from pathlib import Path

import platformdirs

import reportgen
from reportgen import terminal
from reportgen.archive.provenance import package_versions
from reportgen.compose import conf_dir
from reportgen.render.templating import templates_dir
from reportgen.render.text import fonts_folder


def show() -> int:
    """Print versions, devices, folders and fonts; 0 if nothing is missing, else 2."""
    rows: list[tuple[str, str, bool]] = [
        ("reportgen", reportgen.__version__, True),
        ("python", f"{platform.python_version()} on {platform.platform()}", True),
    ]
    versions = package_versions()
    rows += [(name, version, version != "missing") for name, version in versions.items()]
    rows.append(_devices())
    for name, path in (("configuration", conf_dir()), ("templates", templates_dir())):
        rows.append((name, str(path), path.is_dir()))
    fonts = sorted(fonts_folder().glob("*.ttf"))
    rows.append(("fonts", f"{len(fonts)} in {fonts_folder()}", bool(fonts)))
    cache = Path(platformdirs.user_cache_dir("reportgen")) / "xla"
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    rows.append(("compilation cache", f"{cache} ({size / 1e6:.1f} MB)", True))
    terminal.show_table([(name, what, "" if good else "missing") for name, what, good in rows])
    missing = [name for name, _, good in rows if not good]
    if missing:
        terminal.say(f"missing: {', '.join(missing)}. Install reportgen again with pip.")
        return 2
    terminal.say("nothing is missing")
    return 0


def _devices() -> tuple[str, str, bool]:
    try:
        import jax

        return "devices", ", ".join(str(device) for device in jax.devices()), True
    except Exception as error:  # noqa: BLE001 (a broken driver is what this command is there to tell)
        return "devices", f"{type(error).__name__}: {error}", False
