from reportgen.render.layout import rows


def block(kind, width=480):
    return {"type": kind, "images": [{"width": width}], "columns": [], "rows": []}


def shape(*blocks):
    return [
        (row["kind"], [b["type"] for b in row["main"]], [b["type"] for b in row["side"]])
        for row in rows(blocks)
    ]


def test_numbers_and_histogram_stand_beside_their_picture():
    assert shape(block("montage"), block("key_values"), block("histogram"), block("text")) == [
        ("split", ["montage"], ["key_values", "histogram"]),
        ("full", ["text"], []),
    ]


def test_a_wide_picture_leaves_less_room_beside_it():
    assert shape(block("montage", 700), block("histogram"))[0][0] == "split wide"


def test_small_blocks_follow_one_another_in_a_row():
    assert shape(block("montage", 200), block("montage", 200), block("diagram")) == [
        ("flow", ["montage", "montage"], []),
        ("full", ["diagram"], []),
    ]


def test_every_block_is_laid_out_once_and_in_order():
    kinds = ["text", "montage", *["histogram"] * 7, "group", "heatmap", "curve", "finding", "table"]
    blocks = [block(kind) for kind in kinds]
    laid = [b for row in rows(blocks) for b in (*row["main"], *row["side"])]
    assert [b["type"] for b in laid] == kinds


def test_an_override_line_is_printed_once_in_a_row():
    montage = block("montage") | {"override": "x=1"}
    same, other = (block("histogram") | {"override": text} for text in ("x=1", "x=2"))
    row = rows([montage, same, other])[0]
    assert row["main"][0]["override"] == "x=1"
    assert [b["override"] for b in row["side"]] == ["", "x=2"]
