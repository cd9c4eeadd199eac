"""A house's colour: what it is, and whether it can be read on the pages' grounds (WCAG 2)."""

from __future__ import annotations

from PIL import ImageColor

from reportgen.core.errors import ConfigError

# Of the style sheet's themes: page, cards, soft; a test compares them. Paper is as light.
GROUNDS = {
    "light": ("#f6f7f9", "#ffffff", "#eef1f4"),
    "dark": ("#0f1318", "#171c23", "#1f262f"),
}
CONTRAST = 4.5


def accents(light: str | None, dark: str | None) -> tuple[str, str]:
    """Colours of the light and of the dark theme as ``#rrggbb``; empty where none is asked for.

    Without one for the dark theme it is the light one's, lightened as far as it must be.

    Raises:
      ConfigError: if one is no colour, or cannot be read on its theme's grounds.
    """
    for_light = _checked("report.accent", light, "light") if light else ""
    if dark:
        return for_light, _checked("report.accent_dark", dark, "dark")
    return for_light, readable(for_light, "dark") if for_light else ""


def contrast(first: str, second: str) -> float:
    """WCAG 2's ratio of two colours ``#rrggbb``, 1 to 21; text needs 4.5."""
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, theme: str) -> str:
    """The nearest mixture of a colour with black, in the dark with white, that can be read."""
    end = 0 if theme == "light" else 255
    own = ImageColor.getrgb(colour)
    for step in range(101):
        mixed = (round(part + (end - part) * step / 100) for part in own[:3])
        found = "#{:02x}{:02x}{:02x}".format(*mixed)
        if _worst(found, theme)[0] >= CONTRAST:
            break
    return found


def _checked(key: str, name: str, theme: str) -> str:
    try:
        colour = "#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(name)[:3])
    except ValueError as error:
        raise ConfigError(
            f"The configuration is wrong at {key}: {name!r} is no colour.",
            f"Give a name of CSS's or six digits in quotes: {key}=darkgreen, '{key}=\"#0a7d5a\"'",
        ) from error
    least, ground = _worst(colour, theme)
    if least < CONTRAST:
        raise ConfigError(
            f"The configuration is wrong at {key}: {colour} has a contrast of {least:.1f} : 1 to "
            f"the {theme} page's {ground}; expected {CONTRAST} : 1 or more (WCAG AA).",
            f"The nearest that can be read: '{key}=\"{readable(colour, theme)}\"'",
        )
    return colour


def _worst(colour: str, theme: str) -> tuple[float, str]:
    return min((contrast(colour, ground), ground) for ground in GROUNDS[theme])


def _luminance(colour: str) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in ImageColor.getrgb(colour)[:3])
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
