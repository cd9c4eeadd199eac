"""Contents: few groups as they are, many layers as a tree, long lists folded."""

import pytest

from reportgen.render.contents import FLAT, contents


def groups(*titles, layers=True):
    return [
        {
            "id": f"g{i}",
            "title": title,
            "layer": title.split(" ·")[0] if layers else "",
            "rows": [{"main": [{"type": "heatmap"}]}],
        }
        for i, title in enumerate(titles)
    ]


def drawn(nodes):
    return [
        (node["title"], drawn(node["nodes"])) if node["nodes"] else node["title"] for node in nodes
    ]


def fill(count=FLAT):
    return [f"z{i}" for i in range(count)]


def tree(*titles, **more):
    return drawn(contents(groups(*titles, *fill(), **more))["nodes"])[:-FLAT]


def test_few_groups_are_listed_as_they_are():
    found = contents(groups("fire2.squeeze", "fire2.expand"))
    assert drawn(found["nodes"]) == ["fire2.squeeze", "fire2.expand"]
    assert found["folded"] == ""


def test_many_are_folded_and_say_how_many():
    assert contents(groups(*fill(13)))["folded"] == "13 layers"
    assert contents(groups(*fill(13), layers=False))["folded"] == "13 images"
    units = groups(*[f"conv · {i}" for i in range(13)])
    units[3]["rows"] = []
    units[4]["rows"][0]["main"][0]["type"] = "montage"
    assert contents(units)["folded"] == "13 parts"


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (["a.b", "a.c", "d"], [("a", ["b", "c"]), "d"]),
        (["a/b.c", "a/b.d"], [("a/b", ["c", "d"])]),
        (["a.b.c", "a.b.d", "a.e"], [("a", [("b", ["c", "d"]), "e"])]),
        (["a", "a.b"], [("a", ["a", "b"])]),
        (["a.b.c.d"], ["a.b.c.d"]),
        (["a", "a"], [("a", ["a", "a"])]),
        (["conv1 · 3", "conv1 · 17", "conv2 · 3"], [("conv1", ["3", "17"]), "conv2 · 3"]),
        (["../../x", "../../y"], [("../..", ["x", "y"])]),
        (["", "."], ["", "."]),
    ],
)
def test_layers_stand_under_what_their_paths_share(titles, expected):
    assert tree(*titles) == expected


def test_names_of_images_are_no_paths():
    assert tree("a.png", "a.jpg", layers=False) == ["a.png", "a.jpg"]


def test_every_group_is_reached_once_and_counted():
    titles = [f"block{i // 5}.conv{i % 5}.{part}" for i in range(40) for part in ("kernel", "bias")]
    found = contents(groups(*titles))

    def leaves(nodes):
        for node in nodes:
            inner = list(leaves(node["nodes"]))
            assert node["count"] == len(inner or [node])
            assert bool(node["id"]) != bool(inner)
            yield from inner or [node["id"]]

    assert list(leaves(found["nodes"])) == [f"g{i}" for i in range(80)]
