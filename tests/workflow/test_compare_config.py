"""config/compare.yaml: Campfire and its relatives differ in what they are, and in nothing else."""

from pathlib import Path
from typing import Any

import pytest

from campfire.core.yaml import merge, read_yaml
from campfire.model.config import Family
from campfire.runs.config import Config
from campfire.training import PretrainOptions

FAMILIES = Family.__args__  # type: ignore[attr-defined]
OWN = {"model", "objective", "augmentation", "seed"}


@pytest.fixture(scope="module")
def config(repository: Path) -> dict[str, Any]:
    config = read_yaml(repository / "config/config.yaml")
    for name in ("demo", "compare"):
        config = merge(config, read_yaml(repository / f"config/{name}.yaml"))
    Config.read(config)
    return config


def runs(config: dict[str, Any]) -> dict[str, PretrainOptions]:
    names = [f"{family}-{seed}" for family in FAMILIES for seed in (1, 2, 3)]
    return {name: PretrainOptions(**config["pretrain"]["runs"][name]) for name in names}


def test_every_family_is_trained_with_every_seed(config: dict[str, Any]) -> None:
    for name, options in runs(config).items():
        assert f"{options.model.family}-{options.seed}" == name
        assert config["encoders"][name] == {"kind": "pretrained", "run": name}
    evaluated = {entry["encoder"]: entry["channel_sets"] for entry in config["evaluate"]}
    assert set(evaluated) == {*runs(config), "twin"} == set(config["tables"]["encoders"])
    assert len(set(map(tuple, evaluated.values()))) == 1


def test_steps_tiles_and_sizes_are_the_same(config: dict[str, Any]) -> None:
    found = {name: options.values() for name, options in runs(config).items()}
    first = found["campfire-1"]
    for name, values in found.items():
        for key in set(first) - OWN:
            assert values[key] == first[key], (name, key)
        for key in ("width", "depth", "heads", "decoder_width", "decoder_depth", "mask_ratio", "patch_size"):
            assert values["model"][key] == first["model"][key], (name, key)
        if not name.startswith("ca_mae"):
            assert values["objective"] == first["objective"] and values["augmentation"] == first["augmentation"]
