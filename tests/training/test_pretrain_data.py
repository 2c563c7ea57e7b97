"""The order of tiles in pretraining: each once per epoch, reproducible from any step, only what may be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.columns import PLATE
from campfire.core.errors import ConfigError, DataError
from campfire.core.random import keyed_generator
from campfire.training.epoch_plan import cut_shards, plan_epoch, slice_line, step_sizes, window_edges
from campfire.training.loader import Batch, Loader
from campfire.training.opened import open_tiles
from campfire.training.source import Source, open_sources
from support.pretrain_plates import SMALL_MODEL, options, split_table, write_plate

CHANNELS = ["DNA", "AGP", "Mito"]


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("tiles")
    return [
        write_plate(folder, "five", 230, ["DNA", "AGP", "Mito", "ER", "RNA"], 1),
        write_plate(folder, "three", 310, ["Mito", "DNA", "AGP"], 2),
        write_plate(folder, "two", 120, ["DNA", "ER"], 3),
    ]


@pytest.fixture(scope="module")
def source(plates: list[Path]) -> Source:
    return open_sources(plates, split_table(["five", "three", "two"]), CHANNELS)[0]


def seen(batches: list[Batch], source: Source) -> list[tuple[str, int]]:
    return [(source.plates[p], int(r)) for b in batches for p, r in zip(b.plates, b.rows, strict=True)]


@pytest.mark.parametrize(
    ("tiles", "batch", "expected"),
    [(10, 5, [5, 5]), (12, 5, [5, 4, 3]), (13, 5, [5, 5, 3]), (3, 5, [3]), (6, 5, [3, 3]), (0, 5, [])],
)
def test_steps_share_a_small_rest(tiles: int, batch: int, expected: list[int]) -> None:
    assert step_sizes(tiles, batch).tolist() == expected


def test_a_line_of_shards_is_cut_where_asked() -> None:
    shards = cut_shards([10, 7], 4)
    assert (shards[:, 2] - shards[:, 1]).max() <= 4
    line = [(p, i) for p, a, b in shards for i in range(a, b)]
    assert len(line) == 17
    for start, stop in [(0, 17), (3, 9), (4, 4), (16, 17), (9, 15)]:
        assert [(p, i) for p, a, b in slice_line(shards, start, stop) for i in range(a, b)] == line[start:stop]


def test_windows_are_even_and_bounded() -> None:
    edges = window_edges(1001, 100)
    assert np.diff(edges).max() <= 100 and np.diff(edges).min() >= 90 and edges[-1] == 1001


def test_wells_and_sites_left_out_are_not_trained_on(plates: list[Path]) -> None:
    wells = split_table(["five", "three", "two"])
    before, _, _ = open_sources(plates, wells, CHANNELS)
    five = pd.read_parquet(plates[0].with_suffix(".parquet"))
    sites = five[five["Metadata_Well"] == "A01"]["Metadata_Site"]
    out = {"five/A00": "never there", f"five/A01/{sites.iloc[0]}": "fibre"}
    after, _, _ = open_sources(plates, wells, CHANNELS, leave_out=out)
    assert before.tiles - after.tiles == (sites == sites.iloc[0]).sum() > 0
    assert before.digest() != after.digest(), "a checkpoint of other tiles is not resumed"


def test_only_train_wells_of_the_split_are_used(plates: list[Path]) -> None:
    wells = split_table(["five", "three", "two"]).sample(frac=1, random_state=0)  # the order of the table is no matter
    train, val, digests = open_sources(plates, wells, CHANNELS)
    assert [g.channels for g in train.groups] == [("DNA", "AGP", "Mito"), ("DNA",)]
    assert set(digests) == {"five", "three", "two"}
    for source, allowed in ((train, range(1, 8)), (val, range(8, 10))):
        for plate in [p for g in source.groups for p in g.plates]:
            index = pd.read_parquet(plate.path.with_suffix(".parquet"))
            wells_used = set(index["Metadata_Well"].iloc[plate.rows])
            assert wells_used == {f"A{i:02d}" for i in allowed}
            assert len(plate.rows) == index["Metadata_Well"].isin(wells_used).sum()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_tile_once_per_epoch_with_its_own_pixels(source: Source, world: int) -> None:
    plan = plan_epoch([g.tiles for g in source.groups], 100, world, keyed_generator(1, 0))
    used = []
    for rank in range(world):
        loader = Loader(source, 32, rank=rank, seed=3, shard_tiles=16, window_tiles=70)
        batches = list(loader.epoch(plan, 0))
        used += seen(batches, source)
        for batch in batches:
            assert batch.images.shape[0] <= 32 and batch.total == plan.counts[batch.step].sum()
        flat = {p.plate: p for g in source.groups for p in g.plates}
        last = batches[-1]
        for image, plate, row in zip(last.images.numpy(), last.plates, last.rows, strict=True):
            stored = flat[source.plates[plate]]
            assert np.array_equal(image, stored.images[row][stored.positions])
    assert len(used) == len(set(used)) == source.tiles


def test_epochs_differ_and_windows_mix_plates(source: Source) -> None:
    plan = plan_epoch([g.tiles for g in source.groups], 100, 1, keyed_generator(1, 0))
    loader = Loader(source, 50, seed=3, shard_tiles=16, window_tiles=200)
    batches = list(loader.epoch(plan, 0))
    first, second = seen(batches, source), seen(list(loader.epoch(plan, 1)), source)
    assert first != second and sorted(first) == sorted(second)
    both = next(b for b in batches if len(b.channels) == 3)
    assert len({source.plates[p] for p in both.plates}) == 2
    assert (np.diff(both.rows) == 1).mean() < 0.2


@pytest.mark.parametrize("window", [70, 10_000])
def test_any_step_can_be_found_again(source: Source, window: int) -> None:
    plan = plan_epoch([g.tiles for g in source.groups], 60, 2, keyed_generator(5, 7))
    loader = Loader(source, 16, rank=1, seed=5, shard_tiles=16, window_tiles=window)

    def choose(step: int, channels: tuple[str, ...]) -> list[int]:
        return [step % len(channels)]

    whole = list(loader.epoch(plan, 7, 0, choose))
    for first in range(plan.steps):
        rest = list(loader.epoch(plan, 7, first, choose))
        expected = [b for b in whole if b.step >= first]
        assert len(rest) == len(expected)
        for a, b in zip(rest, expected, strict=True):
            assert np.array_equal(a.rows, b.rows) and np.array_equal(a.plates, b.plates)
            assert a.channels == b.channels and a.images.equal(b.images)


def test_positioned_reads_deliver_the_same_bytes(plates: list[Path], source: Source, tmp_path: Path) -> None:
    """Map and positioned reads give the same batches, from any step; a file that lost its end is named."""
    wells = split_table(["five", "three", "two"])
    other = open_sources(plates, wells, CHANNELS, reading="positioned")[0]
    assert other.digest() == source.digest() and all(p.file for g in other.groups for p in g.plates)
    plan = plan_epoch([g.tiles for g in source.groups], 60, 2, keyed_generator(5, 7))
    for first in (0, plan.steps // 2):
        made = [
            list(Loader(s, 16, rank=1, seed=5, shard_tiles=16, window_tiles=70).epoch(plan, 7, first))
            for s in (source, other)
        ]
        for a, b in zip(*made, strict=True):
            assert a.images.equal(b.images) and np.array_equal(a.rows, b.rows) and a.channels == b.channels
    short = write_plate(tmp_path, "five", 230, CHANNELS)
    train = open_sources([short], wells, CHANNELS, reading="positioned")[0]
    with open(short, "r+b") as file:
        file.truncate(short.stat().st_size // 2)
    with pytest.raises(DataError, match=r"five\.npy: ends at byte"):
        list(Loader(train, 50).epoch(plan_epoch([train.tiles], 100, 1, None), 0))


def test_plates_and_wells_of_a_batch_are_counted(plates: list[Path], source: Source) -> None:
    plan = plan_epoch([g.tiles for g in source.groups], 60, 1, keyed_generator(5, 0))
    indices = {path.stem: pd.read_parquet(path.with_suffix(".parquet")) for path in plates}
    for batch in Loader(source, 60, seed=5, shard_tiles=16).epoch(plan, 0):
        names = {(source.plates[p], indices[source.plates[p]]["Metadata_Well"][r]) for p, r in seen_rows(batch)}
        assert source.mixing(batch.plates, batch.rows) == (len({plate for plate, _ in names}), len(names))


def seen_rows(batch: Batch) -> list[tuple[int, int]]:
    return [(int(p), int(r)) for p, r in zip(batch.plates, batch.rows, strict=True)]


def test_a_cap_is_a_fixed_random_part(source: Source) -> None:
    small, again, other = source.capped(50, 1), source.capped(50, 1), source.capped(50, 2)
    assert small.tiles == 50 and small.digest() == again.digest() != other.digest()
    assert source.capped(0, 1) is source and source.capped(10_000, 1) is source


def test_errors_of_reading_reach_the_trainer(source: Source) -> None:
    plan = plan_epoch([g.tiles for g in source.groups], 100, 1, None)
    broken = source.groups[0].plates[0]
    rows = broken.rows.copy()
    object.__setattr__(broken, "rows", rows * 10_000)
    try:
        with pytest.raises(IndexError):
            list(Loader(source, 100).epoch(plan, 0))
    finally:
        object.__setattr__(broken, "rows", rows)


@pytest.mark.parametrize("reading", ["map", "positioned"])
@pytest.mark.parametrize("channel", [1, 4])
def test_a_tile_altered_since_it_was_cut_ends_the_run(tmp_path: Path, channel: int, reading: Any) -> None:
    """Also in a channel that is not trained on; in a tile that opening does not sample, at its first read."""
    path = write_plate(tmp_path, "five", 230, ["DNA", "AGP", "Mito", "ER", "RNA"])
    stored = np.load(path, mmap_mode="r+")
    stored[7, channel, 3, 4] ^= 1
    stored.flush()
    train, _, _ = open_sources([path], split_table(["five"]), CHANNELS, reading=reading)
    loader = Loader(train, 50, window_tiles=100)
    with pytest.raises(DataError, match=r"five\.npy: tile 7 \(well A01\) differs from its index"):
        list(loader.epoch(plan_epoch([train.tiles], 100, 1, None), 0))


def test_a_tile_is_checked_once(tmp_path: Path) -> None:
    path = write_plate(tmp_path, "five", 60, CHANNELS)
    train, _, _ = open_sources([path], split_table(["five"]), CHANNELS)
    plan = plan_epoch([train.tiles], 100, 1, None)
    before = [batch.images for batch in Loader(train, 50).epoch(plan, 0)]
    plate = train.groups[0].plates[0]
    assert plate.checks is not None
    plate.checks.crc32[:] = 0  # a second comparison would fail
    after = [batch.images for batch in Loader(train, 50).epoch(plan, 0)]
    assert all(one.equal(other) for one, other in zip(before, after, strict=True))


def test_bad_inputs_are_named(plates: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"five\.npy: plate five is not in the split"):
        open_sources(plates, split_table(["three", "two"]), CHANNELS)
    with pytest.raises(DataError, match=r"two\.npy: has none of the channels \['Mito'\]"):
        open_sources(plates, split_table(["five", "three", "two"]), ["Mito"])
    none = split_table(["five", "three", "two"]).assign(split="test")
    with pytest.raises(ConfigError, match="no tile of a train well"):
        open_sources(plates, none, CHANNELS)
    with pytest.raises(DataError, match="lacks the columns"):
        open_sources(plates, none.drop(columns="split"), CHANNELS)
    every = split_table(["five", "three", "two"])
    with pytest.raises(DataError, match=r"two\.npy: plate two comes twice; name its tile file once"):
        open_sources([*plates, plates[2]], every, CHANNELS)
    with pytest.raises(ConfigError, match=r"no plate with train wells has channel Actin; .*\(DNA, Mito, RNA\)"):
        open_sources(plates, every, ["DNA", "Actin", "Mito", "RNA"])


def test_tiles_of_two_types_are_refused(tmp_path: Path) -> None:
    """Normalised by `none` they would be on two scales, and no array holds both as they are stored."""
    folders = [write_plate(tmp_path, name, 20, CHANNELS, seed) for seed, name in enumerate(("a", "b"))]
    images = (np.load(folders[1]) // 32).astype(np.uint8)
    write_plate(tmp_path, "b", 20, CHANNELS, 1, images=images)
    with pytest.raises(DataError, match=r"tiles of plate a are uint16, those of plate b uint8; .*`tiles\.dtype`"):
        open_sources(folders, split_table(["a", "b"]), CHANNELS)


def test_tiles_of_another_size_than_the_models_are_refused(plates: list[Path]) -> None:
    model = {**SMALL_MODEL, "image_size": 56}
    with pytest.raises(ConfigError, match=r"five\.npy: its tiles are 28 x 28 px, but model.image_size is 56"):
        open_tiles(options(model=model), plates, split_table(["five", "three", "two"]))


def test_plate_types_limit_the_plates(plates: list[Path]) -> None:
    wells = split_table(["five", "three", "two"])
    wells.loc[wells[PLATE] == "three", "Metadata_PlateType"] = "COMPOUND"
    train, _, _ = open_sources(plates, wells, CHANNELS, ["TARGET2"])
    assert train.plates == ["five", "two"]
