"""YAML files and the mappings that they hold."""

from pathlib import Path

import pytest

from campfire.core.errors import ConfigError
from campfire.core.yaml import merge, read_yaml


def test_merge_replaces_lists_and_merges_mappings() -> None:
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 3}
    assert merge(base, {"a": {"y": [9]}}) == {"a": {"x": 1, "y": [9]}, "b": 3}


def test_unreadable_yaml_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: [1,\n")
    with pytest.raises(ConfigError, match=r"config\.yaml, line 2: not valid YAML"):
        read_yaml(path)
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
