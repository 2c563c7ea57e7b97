"""The three presets and their table in the docs."""

import presets


def test_the_table_in_the_docs_is_current() -> None:
    text = presets.DOC.read_text(encoding="utf-8")
    assert presets.BEGIN in text
    assert presets.with_table(text) == text, "python tools/presets.py --write"


def test_presets_differ_where_text_and_code_do() -> None:
    found = presets.presets()
    assert [values["split.protocol"] for values in found.values()] == ["release", "paper", "strict"]
    subset = "pretrain.runs.campfire.augmentation.channel_subset"
    assert [values[subset] for values in found.values()] == ["release", "uniform", "release"]
    assert found["paper.yaml"]["pretrain.runs.campfire.objective.pixels"] == "all"
