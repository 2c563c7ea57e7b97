"""Every wrong key or value is answered with what would be right."""

from pathlib import Path

import pytest

from campfire.core.errors import ConfigError
from campfire.core.yaml import merge, read_yaml
from campfire.runs.configuration import validate

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "protocol": {"enum": ["paper", "release", "strict"], "description": "which rules to follow"},
        "probe": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"epochs": {"type": "integer", "minimum": 1, "description": "passes over the data"}},
        },
    },
    "required": ["protocol"],
}
SCHEMA["properties"]["sets"] = {"type": "object", "propertyNames": {"pattern": "^[A-Za-z0-9._-]+$"}}


def test_a_right_config_passes() -> None:
    validate({"protocol": "paper", "probe": {"epochs": 3}}, SCHEMA)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"protocol": "paper", "prob": {}}, ["unknown key `prob`", "did you mean `probe`?"]),
        ({"protocol": "paper", "probe": {"epoch": 3}}, ["unknown key `epoch` in probe", "`epochs`"]),
        ({"protocol": "papper"}, ["allowed: paper, release, strict", "did you mean `paper`?", "which rules to follow"]),
        ({"protocol": "paper", "probe": {"epochs": "many"}}, ["probe.epochs", "expected integer"]),
        ({"protocol": "paper", "probe": {"epochs": 0}}, ["probe.epochs", "minimum"]),
        ({}, ["'protocol' is a required property"]),
        ({"protocol": "paper", "sets": {"my set": []}}, ["sets: the name 'my set' may have only letters, digits"]),
    ],
)
def test_a_mistake_names_the_place_and_the_remedy(config: dict, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(config, SCHEMA)
    for word in words:
        assert word in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        validate({"protocol": "x", "wrong": 1}, SCHEMA)
    assert len(str(caught.value).splitlines()) == 2


def test_merge_replaces_lists_and_merges_mappings() -> None:
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 3}
    assert merge(base, {"a": {"y": [9]}}) == {"a": {"x": 1, "y": [9]}, "b": 3}


def test_unreadable_yaml_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: [1,\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: not valid YAML"):
        read_yaml(path)
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
