"""A page with its style, script and pictures inside of it: one file, to be mailed or archived."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping

_LINK = re.compile(r'<link rel="stylesheet" href="(assets/[^"]+)">')
_SCRIPT = re.compile(r'<script src="(assets/[^"]+)" defer></script>\n?')
_POLICY = re.compile(r'(<meta http-equiv="Content-Security-Policy" content=")[^"]*(">)')
# Tags, and what matters in them. Names from elsewhere cannot look like these: their brackets and
# quotation marks are escaped.
_TAG = re.compile(r"<(\w+) [^<>]*>")
_PART = re.compile(r' (id|src|href)="([^"]*)"')
_SHOWN = re.compile(r'<img [^<>]*?\bsrc="([^"]*)"')
_KINDS = {
    ".webp": "image/webp",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
}
# Stands where the style sheet shows a picture that the page has several times; 1 clear pixel.
_CLEAR = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def single(page: str, files: Mapping[str, bytes]) -> str:
    """The page with the files that it links, and scripts of values that it would load.

    A picture that is shown several times is there once, as a rule of the style sheet. The page's
    policy names its style and scripts by their hashes, so that it stays as strict as it was.

    Args:
      files: contents by path relative to the page (``assets/…``).
    """
    style = "".join(_text(files[path]) for path in _LINK.findall(page))
    main = _SCRIPT.findall(page)
    values = [path for path in sorted(files) if path.endswith(".js") and path not in main]
    scripts = ["".join(_text(files[path]) for path in paths) for paths in (main, values)]
    scripts = [_closed(text, "script") for text in scripts if text]
    pictures = {path: content for path, content in files.items() if _kind(path)}
    page, rules = _with_pictures(_SCRIPT.sub("", page), pictures)
    style = _closed("\n".join((style, *rules)), "style")
    hashes = " ".join(_hash(text) for text in scripts) or "'none'"
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {hashes}; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _POLICY.sub(lambda found: f"{found[1]}{policy}{found[2]}", page, count=1)
    first = iter([f"<style>{style}</style>"])
    page = _LINK.sub(lambda found: next(first, ""), page)
    inline = "".join(f"<script>{text}</script>\n" for text in scripts)
    head, end, tail = page.rpartition("</body>")
    return f"{head}{inline}{end}{tail}"


def weight(size: int) -> int:
    """Bytes that a file of a size takes inside of a page."""
    return -(-size // 3) * 4


def _with_pictures(page: str, files: Mapping[str, bytes]) -> tuple[str, list[str]]:
    """The page with its pictures in it, and the rules of the style sheet that show some of them."""
    shown = Counter(path for path in _SHOWN.findall(page) if path in files)
    often = [path for path, times in shown.items() if times > 1]
    numbers = {path: number for number, path in enumerate(often, 1)}
    near = "top"

    def part(tag: str, key: str, value: str) -> str:
        if tag == "img" and value in numbers:
            return f'src="{_CLEAR}" data-picture="{numbers[value]}"'
        if tag == "a":
            # Browsers follow no link to data; the picture itself is enlarged by the script.
            return f'href="#{near}"'
        return f'{key}="{_uri(value, files[value])}"'

    def tag(found: re.Match[str]) -> str:
        nonlocal near
        for key, value in _PART.findall(found[0]):
            near = value if key == "id" else near
        return _PART.sub(
            lambda inner: f" {part(found[1], *inner.groups())}" if inner[2] in files else inner[0],
            found[0],
        )

    rules = [
        f'img[data-picture="{number}"] {{ content: url("{_uri(path, files[path])}"); }}'
        for path, number in numbers.items()
    ]
    return _TAG.sub(tag, page), rules


def _uri(path: str, content: bytes) -> str:
    return f"data:{_kind(path)};base64,{base64.b64encode(content).decode()}"


def _kind(path: str) -> str:
    return _KINDS.get(path[path.rindex(".") :], "")


def _text(content: bytes) -> str:
    # As the browser reads it, or the hash would be another's.
    return content.decode().replace("\r\n", "\n").replace("\r", "\n")


def _closed(text: str, tag: str) -> str:
    """Text that cannot end the element it stands in."""
    return re.sub(f"</(?={tag})", r"<\\/", text, flags=re.IGNORECASE).replace("<!--", r"<\!--")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
