import re

import pytest

from reportgen.render import plots, templating


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    """WCAG 2's ratio, 1 to 21; text needs 4.5, parts of a drawing 3."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def themes():
    sheet = templating.stylesheet().decode()
    for block in re.findall(r"\{([^{}]*--page:[^{}]*)\}", sheet):
        yield dict(re.findall(r"(--[a-z-]+):\s*(#[0-9a-f]{6})", block))


THEMES = list(themes())
ON_GROUND = [
    (text, ground)
    for text in ("--ink", "--muted", "--accent")
    for ground in ("--page", "--surface", "--soft")
]
ON_OWN = [(f"--{name}", f"--{name}-soft") for name in ("good", "warn", "fail", "info")]


def test_there_is_a_light_theme_and_the_dark_one_is_the_same_however_it_is_chosen():
    assert len(THEMES) == 3
    assert THEMES[1] == THEMES[2]
    assert THEMES[0].keys() == THEMES[1].keys()


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(("text", "ground"), ON_GROUND + ON_OWN + [("--ink", "--warn-soft")])
def test_text_stands_out(theme, text, ground):
    assert contrast(THEMES[theme][text], THEMES[theme][ground]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1])
def test_plots_stand_out_on_the_cards_they_lie_on(theme):
    ground = THEMES[theme]["--surface"]
    dress = plots._DARK if theme else {}
    assert contrast(dress.get(plots.INK, plots.INK), ground) >= 4.5
    assert contrast(dress.get(plots.MUTED, plots.MUTED), ground) >= 4.5
    for line in plots._LINES[:3]:
        assert contrast(dress.get(line, line), ground) >= 3


def test_the_banner_stays_in_sight_and_covers_nothing_that_is_jumped_to():
    sheet = templating.stylesheet().decode()
    banners = re.search(r"\n\.banners \{([^}]*)\}", sheet)[1]
    assert {"position: sticky", "top: 0"} <= {part.strip() for part in banners.split(";")}
    assert re.search(r"html:has\(\.banners\) \{ scroll-padding-top: [2-9]", sheet)
