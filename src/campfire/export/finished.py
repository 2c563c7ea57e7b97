"""A finished run as exports read it: its record, wells and embeddings."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import ConfigError, DataError
from campfire.core.files import read_table, read_table_metadata
from campfire.core.text import some
from campfire.encoders import embedding_table

FACTS = [names.SOURCE, names.BATCH, names.COMPOUND, names.PLATE_TYPE, "split"]
"""What the split says of a well."""


@dataclass(frozen=True)
class Embedded:
    """Embeddings of the evaluation plates by one encoder on one channel set."""

    encoder: str
    channels: str
    cells: pd.DataFrame
    """(N,) rows: cell keys, `FACTS` and `quadrant`."""
    vectors: NDArray[np.float32]
    """(N, D)."""
    made_by: dict[str, Any]
    """The metadata of the embedding files: encoder, channels, digest of the weights, pooling, normalisation."""

    @property
    def dimensions(self) -> list[str]:
        """Names of the D dimensions."""
        return [f"{self.encoder}_{number:04d}" for number in range(self.vectors.shape[1])]


@dataclass(frozen=True)
class Finished:
    """A results folder with provenance.json, which the target `all` writes last."""

    root: Path
    record: dict[str, Any]

    @classmethod
    def read(cls, root: str | Path) -> "Finished":
        """The run in a results folder; DataError where it has no readable record."""
        path = Path(root) / "provenance.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if not {"config", "commit", "versions", "files"} <= set(record):
                raise ValueError("it lacks the config, commit, versions or files")
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such record of a finished run; run the workflow's target `all`") from error
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a readable record ({error}); delete it and run `all` again") from error
        return cls(Path(root), record)

    @property
    def config(self) -> dict[str, Any]:
        """The run's config as plain values."""
        return dict(self.record["config"]["values"])

    @cached_property
    def wells(self) -> pd.DataFrame:
        """The wells of the split with their roles."""
        return read_table(self.root / "split/wells.parquet")

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """(encoder, channel set) of every evaluation, in the config's order."""
        entries = self.config["evaluate"]
        return list(dict.fromkeys((entry["encoder"], name) for entry in entries for name in entry["channel_sets"]))

    def chosen(self, encoder: str = "", channels: str = "") -> list[tuple[str, str]]:
        """The evaluations of an encoder and a channel set; "" stands for any. ConfigError where there is none."""
        matches = [pair for pair in self.pairs if encoder in ("", pair[0]) and channels in ("", pair[1])]
        if not matches:
            known = some([f"{pair[0]} on {pair[1]}" for pair in self.pairs]) or "no encoder at all"
            asked = " on ".join(filter(None, [encoder, channels])) or "an encoder"
            raise ConfigError(f"{self.root}: the run does not evaluate {asked}; it evaluates {known}")
        return matches

    @property
    def negative_controls(self) -> list[str]:
        """The negative controls by which the run's profiles are normalised."""
        split, profiles = self.config["split"], self.config["profiles"]
        named = profiles.get("negative_controls") or split.get("negative_controls")
        return list(named or split["controls"][:1])

    def embedded(self, encoder: str, channels: str) -> Embedded:
        """All embeddings of an evaluation, sorted by cell; DataError for missing files or cells of unknown wells."""
        folder = self.root / "embeddings" / encoder / channels
        plates = set(self.wells[names.PLATE])
        paths = [path for path in sorted(folder.glob("*.parquet")) if path.stem in plates]
        if not paths:
            raise DataError(f"{folder}: no embeddings of this run's plates; run the workflow's target `all`")
        keys, vectors = embedding_table.read_plates(paths)
        order = keys.assign(row=np.arange(len(keys))).sort_values(names.CELL_KEYS, kind="stable")["row"].to_numpy()
        facts = self.wells[[*names.WELL_KEYS, *FACTS]]
        cells = keys.iloc[order][names.CELL_KEYS].merge(facts, on=names.WELL_KEYS, how="left", validate="many_to_one")
        unknown = cells["split"].isna()
        if unknown.any():
            first = "/".join(map(str, cells.loc[unknown, names.CELL_KEYS].iloc[0]))
            raise DataError(
                f"{folder}: {int(unknown.sum())} cells are of wells outside the split, the first {first}; make the "
                "embeddings again"
            )
        cells["quadrant"] = cells["split"].map(names.QUADRANTS).fillna("")
        made_by = {key: value for key, value in read_table_metadata(paths[0]).items() if key != "missing"}
        return Embedded(encoder, channels, cells, vectors[order], made_by)


def provenance(run: Finished) -> dict[str, str]:
    """Where results come from, as texts: commit, versions, seeds, the whole config and its digest."""
    from campfire import __version__

    record = run.record
    return {
        "software": f"campfire {__version__}",
        "commit": str(record["commit"]),
        "config": json.dumps(record["config"]["values"], sort_keys=True),
        "config_digest": str(record["config"].get("digest", "")),
        "seeds": json.dumps(record.get("seeds", {}), sort_keys=True),
        "versions": json.dumps(record["versions"], sort_keys=True),
    }


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` only if the block succeeds; DataError where `path` already exists."""
    final = Path(path)
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise DataError(f"{final}: exists already; choose another folder, or remove this one first")
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    partial.chmod(0o755)
    try:
        yield partial
        if final.is_dir():
            final.rmdir()
        os.replace(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def listed(paths: Sequence[Path]) -> str:
    """What an export wrote, for the terminal."""
    return "\n".join(map(str, paths))
