import pytest

from reportgen.render.text import Names, added, drawable, printable, shorten, slug


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("conv1", "conv1"),
        ("naïve · λ 层 \U0001f600", "naïve · λ 层 \U0001f600"),
        ("a\nb\tc", "a\nb\tc"),
        ("a\x00b\x1b", "a�b�"),
        ("bad\udcff", "bad�"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("a\uffffb", "a�b"),
    ],
)
def test_printable(text, seen):
    assert printable(text) == seen
    printable(text).encode()


def test_drawable_keeps_what_the_font_has_and_tells_the_others_apart():
    assert drawable("naïve λ → ж") == "naïve λ → ж"
    assert drawable("层") == "⟨U+5C42⟩"
    assert drawable("层") != drawable("面")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("weights", "Conv1 · kernel"), "weights-conv1-kernel"),
        (("../../etc/passwd",), "etc-passwd"),
        (("层",), "part"),
        (("x" * 300,), "x" * 60),
    ],
)
def test_slug(parts, expected):
    assert slug(*parts) == expected


def test_names_are_given_once():
    names = Names("top")
    assert [names.take("a"), names.take("a"), names.take("a"), names.take("top")] == [
        "a",
        "a-2",
        "a-3",
        "top-2",
    ]


def test_names_do_not_collide_with_numbered_ones():
    names = Names()
    assert [names.take("a-2"), names.take("a"), names.take("a")] == ["a-2", "a", "a-3"]


@pytest.mark.parametrize(("length", "expected"), [(10, "abcdefghij"), (5, "ab…ij"), (4, "a…ij")])
def test_shorten(length, expected):
    assert shorten("abcdefghij", length) == expected


@pytest.mark.parametrize(
    ("command", "section", "told"),
    [
        ("reportgen seed=1 method=a", "reportgen seed=1 method=a", ""),
        ("reportgen method=a 'a.b=[x y]'", "reportgen method=a", "'a.b=[x y]'"),
        ("reportgen method=a k=2", "reportgen k=1 method=a", "k=2"),
        ("reportgen method=a", "reportgen seed=1 method=a", "reportgen method=a"),
        ("reportgen method=a", "", "reportgen method=a"),
        ("", "reportgen method=a", ""),
    ],
)  # fmt: skip
def test_a_picture_tells_what_it_adds_to_its_sections_command(command, section, told):
    assert added(command, section) == told
