"""Simulated schedule of the plates of a run: time and peak disk use for N plates at a time.

`python tools/schedule.py --split results/split/wells.parquet` (or `--plates`, `--metadata`) prints the table.
Costs per site are measured (`bench/plate_costs.py`); the bandwidth is an assumption.
"""

import argparse
import heapq
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from campfire.core.columns import CHANNELS, PLATE
from campfire.core.errors import in_one_line
from campfire.runs.scale import SourceFacts, add_split_arguments, given_splits, to_markdown
from campfire.screen.split import evaluation_plates


@dataclass(frozen=True)
class PlateCosts:
    """Costs of a plate; processor seconds as `bench/plate_costs.py` measured them on one core of an AMD EPYC.

    verify_s: of an image: MD5 and decoding
    nuclei_s: of a site: decoding, classical segmentation, measurement (not Cellpose)
    tiles_s: of an image: decoding, cutting, writing
    job_s: to start each of a plate's three jobs (5 to 9 s on Slurm; the mean)
    threads: cores of each job (profiles/slurm)
    bandwidth: bytes per second shared by all downloads; an assumption, not measured
    """

    verify_s: float = 0.087 / 5
    nuclei_s: float = 0.615
    tiles_s: float = 0.101 / 5
    job_s: float = 7.0
    threads: int = 4
    bandwidth: float = 125e6


@dataclass(frozen=True)
class Simulated:
    """A run of all plates: hours on the clock, processor hours, most raw bytes on disk at once, hours of waiting for
    the network (a plate's download beyond what its verification takes, summed)."""

    concurrent: int
    hours: float
    core_hours: float
    raw_bytes: float
    network_hours: float


def plate_work(table: pd.DataFrame, training_channels: int = 3, facts: SourceFacts | None = None) -> pd.DataFrame:
    """Sites, images and bytes of each plate that has wells with a role, in the order of the split."""
    facts = facts or SourceFacts()
    used = table[table["split"] != "unused"]
    evaluated = set(evaluation_plates(table))
    wells = used.groupby(PLATE, sort=False).size()
    sites = wells * facts.sites_per_well
    channels = pd.Series(
        [len(CHANNELS) if plate in evaluated else training_channels for plate in wells.index], wells.index
    )
    images = sites * channels
    return pd.DataFrame({"sites": sites, "images": images, "bytes": images * facts.bytes_per_tiff})


def simulate(work: pd.DataFrame, concurrent: int, costs: PlateCosts | None = None) -> Simulated:
    """Simulate download, nuclei and tiles of all plates, `concurrent` at a time, as the workflow runs them.

    A plate occupies its slot, and its raw images the disk, from the first byte to its last tile. Downloads share the
    bandwidth equally; none is faster than its verification on its cores.
    """
    costs = costs or PlateCosts()
    waiting = list(work[["sites", "images", "bytes"]].itertuples(index=False, name=None))[::-1]
    # Plate -> bytes left, most bytes per second, seconds of work after it, its bytes.
    loading: dict[int, list[float]] = {}
    cutting: list[tuple[float, float]] = []  # (end, raw bytes) of plates past their download
    now = raw = peak = cores = network = 0.0
    number = 0
    while waiting or loading or cutting:
        while waiting and len(loading) + len(cutting) < concurrent:
            sites, images, size = waiting.pop()
            verify = images * costs.verify_s / costs.threads
            after = (sites * costs.nuclei_s + images * costs.tiles_s) / costs.threads + 2 * costs.job_s
            loading[number] = [size, size / verify, after, size]
            cores += (images * (costs.verify_s + costs.tiles_s) + sites * costs.nuclei_s) / 3600
            network -= verify / 3600
            raw += size
            number += 1
        peak = max(peak, raw)
        share = costs.bandwidth / len(loading) if loading else 0.0
        rates = {plate: min(share, state[1]) for plate, state in loading.items()}
        first_loaded = min((state[0] / rates[plate] for plate, state in loading.items()), default=float("inf"))
        first_cut = cutting[0][0] - now if cutting else float("inf")
        step = min(first_loaded, first_cut)
        now += step
        network += step * len(loading) / 3600
        for plate, state in list(loading.items()):
            state[0] -= rates[plate] * step
            if state[0] <= 1e-6 * state[3]:
                heapq.heappush(cutting, (now + costs.job_s + state[2], state[3]))
                del loading[plate]
        while cutting and cutting[0][0] <= now + 1e-9:
            raw -= heapq.heappop(cutting)[1]
    return Simulated(concurrent, now / 3600, cores, peak, max(network, 0.0))


def schedule(
    table: pd.DataFrame, concurrent: Sequence[int] = (1, 8, 64), costs: PlateCosts | None = None
) -> pd.DataFrame:
    """One row for each number of plates at a time: days, core hours, raw bytes, waiting for the network."""
    work = plate_work(table)
    rows = [simulate(work, number, costs) for number in concurrent]
    return pd.DataFrame(
        {
            "plates at a time": [str(row.concurrent) for row in rows],
            "days": [f"{row.hours / 24:.1f}" for row in rows],
            "core hours": [row.core_hours for row in rows],
            "most raw bytes": [row.raw_bytes for row in rows],
            "hours of waiting for the network": [row.network_hours for row in rows],
        }
    )


@in_one_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 printed, 1 an error that the message explains."""
    parser = argparse.ArgumentParser(prog="python tools/schedule.py", description=__doc__)
    add_split_arguments(parser)
    parser.add_argument(
        "--megabytes", type=float, nargs="+", default=[125.0, 1250.0], help="MB per second of all downloads together"
    )
    given = parser.parse_args(arguments)
    (table,) = given_splits(parser, given, ["release"]).values()
    for megabytes in given.megabytes:
        rows = schedule(table, costs=PlateCosts(bandwidth=megabytes * 1e6))
        print(f"At {megabytes:,.0f} MB/s:\n\n{to_markdown(rows)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
