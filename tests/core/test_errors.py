from reportgen.core.errors import did_you_mean, nearest


def test_nearest_finds_slips_and_parts_of_names() -> None:
    names = ["saliency", "weights", "conv1", "conv2", "dense1"]
    assert nearest("salincy", names) == ["saliency"]
    assert nearest("CONV1", names)[0] == "conv1"
    assert nearest("con", names) == ["conv1", "conv2"]
    assert nearest("zzz", names) == []


def test_did_you_mean_lists_all_where_nothing_is_near() -> None:
    assert did_you_mean("salincy", ["saliency", "weights"]) == "Did you mean saliency?"
    assert did_you_mean("zzz", ["a1", "b2"]) == "Known: a1, b2."
    assert did_you_mean("zzz", []) == ""
    assert did_you_mean("zzz", [f"n{i:02d}" for i in range(30)]).endswith("n19, ….")
