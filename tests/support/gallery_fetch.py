"""What the tests of download faults share: a fetch through a proxy, and what a plate's folder must hold after it."""

import os
from pathlib import Path

import pandas as pd

from campfire.images.gallery import fetch_plate, plan_download
from campfire.images.gallery.connect import connect
from support.gallery_bucket import BATCH, CHANNELS, PLATE, SOURCE, Bucket

ODD = ("A02", "1")
"""The site that the faults of one site are made at."""


def fetch(
    screen: Bucket, url: str, destination: Path, known_bad: dict[str, str] | None = None, **changes: object
) -> pd.DataFrame:
    options = screen.options(url, **changes)
    client = connect(options)
    plan, _ = plan_download(client, options, SOURCE, BATCH, PLATE, screen.wells, CHANNELS)
    return fetch_plate(client, plan, destination, options, known_bad)


def assert_holds(bucket: Bucket, destination: Path, without: tuple[tuple[str, str], ...] = ()) -> None:
    """The folder holds exactly the images of all sites but `without`, byte for byte, and a table of them."""
    sites = [site for site in bucket.sites if site not in without]
    table = pd.read_parquet(destination / "sites.parquet")
    assert list(zip(table["Metadata_Well"], table["Metadata_Site"], strict=True)) == sites
    names = set()
    for row in table.to_dict("records"):
        for channel in CHANNELS:
            name = row[f"path_{channel}"]
            names.add(name)
            expected = bucket.path(row["Metadata_Well"], row["Metadata_Site"], channel).read_bytes()
            assert (destination / name).read_bytes() == expected
    assert len(names) == len(sites) * len(CHANNELS)
    assert set(os.listdir(destination)) == names | {"sites.parquet", ".verified.jsonl"}


def statuses(record: pd.DataFrame, site: tuple[str, str] = ODD) -> dict[str, str]:
    rows = record[(record["Metadata_Well"] == site[0]) & (record["Metadata_Site"] == site[1])]
    return dict(zip(rows["channel"], rows["status"], strict=True))


def reason(record: pd.DataFrame, channel: str, site: tuple[str, str] = ODD) -> str:
    rows = record[(record["Metadata_Well"] == site[0]) & (record["Metadata_Site"] == site[1])]
    return str(rows.set_index("channel")["reason"][channel])


def no_finished_or_partial_file(destination: Path) -> None:
    assert not (destination / "sites.parquet").exists()
    assert not list(destination.glob("*.partial*")) and not list(destination.glob(".*.partial*"))
