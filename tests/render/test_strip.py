from reportgen.render.strip import strip


def image(name, width=64, height=64, label=""):
    return {"src": name, "width": width, "height": height, "alt": "", "label": label}


def gallery(*marks):
    entries = [
        {"image": image(f"{mark}-{i}"), "title": f"digit {i}", "mark": mark}
        | {"subtitle": "true class: 8", "bars": [{"label": "3"}]}
        for i, mark in enumerate(marks)
    ]
    return {"type": "gallery", "id": "shown", "entries": entries}


def heatmap(name):
    images = [image(f"{name}-{part}", label=part) for part in ("image", "map", "overlay")]
    return {"type": "heatmap", "id": name, "title": name, "images": images}


def montage(name, colormap, **size):
    return {
        "type": "montage",
        "id": name,
        "title": name,
        "range": {"name": colormap},
        "images": [image(name, **size)],
    }


def section(name):
    return {"id": name, "title": name.title()}


def shown(*sections):
    return [item["image"]["src"] for item in strip(sections)]


def test_mistakes_come_first_then_maps_then_syntheses_then_kernels():
    assert shown(
        (section("weights"), [montage("kernels", "RdBu_r")]),
        (section("filters"), [montage("made", "gray")]),
        (section("saliency"), [heatmap("first"), heatmap("second")]),
        (section("predictions"), [gallery("correct", "wrong", "wrong")]),
    ) == ["wrong-1", "first-overlay", "made", "kernels"]


def test_mistakes_say_what_was_taken_for_what():
    [item] = strip([(section("predictions"), [gallery("wrong")])])
    assert item["of"] == "taken for 3 · true class: 8 · digit 0"


def test_right_answers_come_after_what_was_made():
    right = (section("predictions"), [gallery("correct", "none")])
    assert shown(right, (section("filters"), [montage("made", "")])) == ["made", "correct-0"]


def test_what_leads_nowhere_or_is_no_picture_is_left_out():
    long = montage("long", "", width=64, height=300)
    dot = montage("dot", "", width=1, height=1)
    assert shown((section("weights"), [long, dot, {"type": "table"}])) == []
    [item] = strip([(section("saliency"), [heatmap("first")])])
    assert (item["id"], item["section"], item["of"]) == ("first", "saliency", "first")
    assert item["image"]["alt"] == "Saliency: first"


def test_there_are_six_at_the_most():
    assert len(shown(*((section(f"s{i}"), [heatmap(f"h{i}")]) for i in range(9)))) == 6


def test_no_picture_comes_twice():
    both = [(section(name), [gallery("none")]) for name in ("predictions", "activations")]
    assert [item["title"] for item in strip(both)] == ["Predictions"]
