"""Inputs of a table or figure: files by name, and the settings of the run that it depends on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from campfire.core.files import read_table
from campfire.report.tables.options import TableOptions

Files = Mapping[str, Sequence[str]]
"""Name of an input (probes, accuracies, …) -> its files; an input that the run does not have is absent or empty."""


@dataclass(frozen=True)
class Settings:
    """Settings of a table or figure besides its files."""

    options: TableOptions = field(default_factory=TableOptions)
    """Section `tables` of the configuration."""
    split_protocol: str = ""
    """Protocol of the split of wells (`split.protocol`)."""
    controls: tuple[str, ...] = ()
    """Compounds of the control task (`split.controls`)."""
    plate_type: str = ""
    """Plate type of the evaluation plates (TARGET2 in JUMP)."""
    licences: Mapping[str, str] = field(default_factory=dict)
    """Encoder to the licence of its published code and weights, where there is one."""
    masked: Mapping[str, str] = field(default_factory=dict)
    """Encoder that sees masked tiles to the one that sees whole ones."""
    trained_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Encoder to the channels of its pretraining, for runs of this config."""
    repeats: Mapping[str, Sequence[Sequence[Any]]] = field(default_factory=dict)
    """Encoders that differ only in their seed, by shared name: (encoder, seed, pretraining run) of each."""
    encoder: str = ""
    """The encoder that figures of a single encoder show."""
    channel_sets: tuple[str, ...] = ()
    """Channel sets of the figure of accuracy by channels."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Architecture of the pretrained model (`pretrain.runs.<run>.model`)."""
    channels: tuple[str, ...] = ()
    """Channels of pretraining."""
    leave_out: Mapping[str, str] = field(default_factory=dict)
    """Plates, wells and sites that are left out after the split (`leave_out`), as far as the item depends on them."""
    title: str = ""
    """Title of the page of findings."""
    stage: str = ""
    """Stage of the ablation study."""
    study: str = ""
    """Folder with the paper's tables of the ablation study."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Settings":
        """Settings from a rule's parameters, which omit those that the table does not depend on."""
        found: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**{**found, "options": TableOptions(**values.get("options", {}))})


def read_csv(files: Files, name: str) -> pd.DataFrame:
    """The csv of another table, at full precision."""
    return pd.read_csv(files[name][0])


def read_csv_if_there(files: Files, name: str) -> pd.DataFrame | None:
    """The csv of another table, or None where the run has no such table."""
    return read_csv(files, name) if files.get(name) else None


def by_folder(paths: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Tables of several encoders or runs, by folder name: .../{encoder}/{channels}.parquet."""
    return {Path(path).parent.name: read_table(path) for path in paths}


def function(reference: str) -> Callable[[Files, Settings], Any]:
    """The function that builds a table or figure, from its name as module:function."""
    module, _, name = reference.partition(":")
    found: Callable[[Files, Settings], Any] = getattr(import_module(module), name)
    return found


def stem(path: str | Path) -> Path:
    """The path without its last suffix, to which `save` adds those of all formats; other dots are kept."""
    return Path(path).with_suffix("")
