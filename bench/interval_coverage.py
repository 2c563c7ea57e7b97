"""Coverage of intervals of accuracy differences on simulated screens of the paper's size.

    python bench/interval_coverage.py [--simulations 400] [--plates 5] [--quick] [--json out.json]

Two equally accurate encoders are scored on the four quadrants (9 control and 60 held-out compounds, 20 ID and 5 OOD
plates, 100 and 30 cells per well). Every compound has a difficulty, and every well has an effect that both encoders
share and one that differs by encoder (SD 0.02). On each plate, a normal draw whose SD is varied shifts each encoder. As
the encoders do not differ, the interval of a difference should contain zero in 95 % of the screens:

wells       bootstrap over wells within compounds: other wells of these plates
percentile  bootstrap over OOD plates, then wells within them, percentiles: the textbook's hierarchical bootstrap
plates      Student's t over plates (campfire.evaluation.plate_intervals): other plates
apart       the same, with quadrants that share plates treated as independent (mean of the quadrants only)

The last table but one gives the share of screens with any false verdict at 5 % among seven comparisons, unadjusted and
adjusted by Holm; the last, for the retrieval of replicates, how often its interval over plates
(campfire.evaluation.profiles.precision) contains the mean over all screens. `--quick` only checks that the script runs.
"""

import argparse
import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.text import markdown_table
from campfire.evaluation.plate_intervals import add, holm, over_plates, plate_totals
from campfire.evaluation.profiles.precision import reach_over_plates
from campfire.evaluation.profiles.retrieval import REPLICATES, replicate_retrieval
from campfire.evaluation.seed_intervals import difference_over_seeds
from campfire.evaluation.statistics import BootstrapOptions, multiplicity, paired_intervals
from campfire.evaluation.tally import Tally

SPREADS = (0.0, 0.005, 0.01, 0.02)
COMPOUNDS, CELLS = {"control": 9, "heldout": 60}, {"control": 100, "heldout": 30}
ID_PLATES, TEST_PLATES = 20, 4
CLAIMS = 7
SEEDS, PLATE_SPREAD = 5, 0.01
Effects = dict[str, NDArray[np.float64]]


def layout(split: str, ood_plates: int) -> pd.DataFrame:
    """Plate, well and compound of every well of a quadrant; a control has four test wells, on plates of its own."""
    task = "control" if split in names.TASK_QUADRANTS["control"] else "heldout"
    inside = split in ("test", "test_ood_compound")
    rows = []
    for compound in range(COMPOUNDS[task]):
        plates = range(ID_PLATES if inside else ood_plates)
        if split == "test":
            plates = [(4 * compound + step * 5) % ID_PLATES for step in range(TEST_PLATES)]  # type: ignore[assignment]
        rows += [(f"{'I' if inside else 'O'}{plate:02d}", f"{task}{compound:02d}") for plate in plates]
    table = pd.DataFrame(rows, columns=[names.PLATE, "truth"])
    table[names.WELL] = table["truth"]
    return table.sort_values(["truth", names.PLATE], ignore_index=True)


def draw(rng: np.random.Generator, layouts: dict[str, pd.DataFrame], encoders: int, spread: float) -> list[dict]:
    """Tallies by quadrant of each encoder on one screen."""
    plates = sorted({plate for table in layouts.values() for plate in table[names.PLATE]})
    by_plate = [dict(zip(plates, rng.normal(0, spread, len(plates)), strict=True)) for _ in range(encoders)]
    found: list[dict] = [{} for _ in range(encoders)]
    for split, table in layouts.items():
        task = "control" if split in names.TASK_QUADRANTS["control"] else "heldout"
        compound = np.unique(table["truth"], return_inverse=True)[1]
        plate = np.unique(table[names.PLATE], return_inverse=True)[1]
        shared = rng.uniform(0.1, 0.5, COMPOUNDS[task])[compound] + rng.normal(0, 0.05, len(table))
        cells = np.full((len(table), 1), float(CELLS[task]))
        for encoder in range(encoders):
            own = table[names.PLATE].map(by_plate[encoder]).to_numpy() + rng.normal(0, 0.02, len(table))
            hits = rng.binomial(CELLS[task], np.clip(shared + own, 0.001, 0.999))[:, None].astype(float)
            found[encoder]["release", task, split] = Tally(hits, cells, compound, plate, table)
    return found


def percentile(rng: np.random.Generator, first: Tally, second: Tally, replicates: int) -> tuple[float, float]:
    """Plates drawn with replacement, then wells of each drawn plate; percentiles of the difference."""
    difference = (first.hits - second.hits)[:, 0] / first.cells.sum()
    total = np.zeros(replicates)
    drawn = multiplicity(rng, first.plates, replicates)
    for plate in range(first.plates):
        rows = np.flatnonzero(first.plate == plate)
        total += drawn[:, plate] * (multiplicity(rng, len(rows), replicates) @ difference[rows])
    low, high = np.quantile(total, [0.025, 0.975])
    return float(low), float(high)


def coverage(simulations: int, plates: int, replicates: int, seed: int) -> pd.DataFrame:
    """Share of screens whose interval contains zero, by SD over plates, kind of interval and quadrant."""
    layouts = {split: layout(split, plates) for split in names.QUADRANTS}
    rows = []
    for spread in SPREADS:
        held: dict[tuple[str, str], int] = {}
        for number in range(simulations):
            rng = np.random.default_rng([seed, number, round(spread * 1e4)])
            first, second = draw(rng, layouts, 2, spread)
            options = BootstrapOptions(replicates=replicates, seed=number)
            pairs = {key: (first[key], second[key]) for key in first}
            totals = {}
            for record in paired_intervals(pairs, options).to_dict("records"):
                split = record["split"]
                bounds = {
                    "wells": (record["low"], record["high"]),
                    "plates": (record["low_plates"], record["high_plates"]),
                }
                if split != "mean":
                    a, b = pairs[record["protocol"], record["task"], split]
                    bounds["percentile"] = percentile(rng, a, b, replicates)
                    totals[split] = add([plate_totals(a), plate_totals(b)], [0.25, -0.25])
                else:
                    apart = over_plates(record["difference"], list(totals.values()), 0.95)
                    bounds["apart"] = apart.low, apart.high
                for kind, (low, high) in bounds.items():
                    held[split, kind] = held.get((split, kind), 0) + (low <= 0 <= high)
        rows += [
            {"sd_of_plates": spread, "quadrant": split, "interval": kind, "coverage": count / simulations}
            for (split, kind), count in held.items()
        ]
    return pd.DataFrame(rows)


def false_findings(simulations: int, plates: int, seed: int) -> dict[str, float]:
    """Share of screens where any of seven comparisons with one encoder has a verdict, unadjusted and by Holm."""
    layouts = {split: layout(split, plates) for split in names.QUADRANTS}
    options = BootstrapOptions(replicates=2)
    plain = adjusted = 0
    for number in range(simulations):
        rng = np.random.default_rng([seed, 1, number])
        first, *others = draw(rng, layouts, CLAIMS + 1, 0.01)
        p = []
        for other in others:
            table = paired_intervals({key: (first[key], other[key]) for key in first}, options)
            p.append(float(table.loc[table["split"] == "mean", "p_plates"].iloc[0]))
        plain += min(p) < 0.05
        adjusted += bool(holm(p).min() < 0.05)
    return {"any": plain / simulations, "any_by_holm": adjusted / simulations}


def seed_coverage(simulations: int, plates: int, seed: int) -> pd.DataFrame:
    """Share of screens whose interval of the mean over seeds holds zero, by SD over seeds and kind of interval."""
    layouts = {split: layout(split, plates) for split in names.QUADRANTS}
    rows = []
    for spread in SPREADS:
        held = {"seeds": 0, "plates": 0, "both": 0}
        for number in range(simulations):
            rng = np.random.default_rng([seed, 2, number, round(spread * 1e4)])
            model, baseline = draw(rng, layouts, 2, PLATE_SPREAD)
            runs = []
            for shift in rng.normal(0, spread, SEEDS):
                moved = {key: _shifted(rng, tally, float(shift)) for key, tally in model.items()}
                runs.append({key: (moved[key], baseline[key]) for key in moved})
            row = difference_over_seeds(runs).iloc[-1]
            for kind, part in (("seeds", "_seeds"), ("plates", "_plates"), ("both", "")):
                held[kind] += row[f"low{part}"] <= 0 <= row[f"high{part}"]
        rows += [{"sd_of_seeds": spread, "interval": kind, "coverage": n / simulations} for kind, n in held.items()]
    return pd.DataFrame(rows)


def retrieval_coverage(simulations: int, seed: int) -> pd.DataFrame:
    """Coverage of the mean average precision above chance of six compounds, by number of plates, SD of their shifts and
    SD of the compounds' effects, all in units of the wells' SD; 16 features, one well of each compound a plate."""
    rows = []
    for plates in (4, 7):
        for signal, spread in ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5)):
            rng = np.random.default_rng([seed, plates])
            effect, found = rng.normal(0, signal, (6, 16)), []
            places = [(f"P{p}", f"A{c}", f"J{c}") for p in range(plates) for c in range(6)]
            wells = pd.DataFrame(places, columns=[*names.WELL_KEYS, names.COMPOUND])
            for _ in range(simulations):
                shifts = rng.normal(0, spread, (plates, 1, 16))
                x = (effect + shifts + rng.normal(0, 1, (plates, 6, 16))).reshape(-1, 16).astype(np.float32)
                table = replicate_retrieval(wells, x)
                value = table.groupby(names.COMPOUND)["normalized_average_precision"].mean().mean()
                found.append((value, reach_over_plates(wells, x, REPLICATES, names.COMPOUND, 0.95)[1]))
            values, reach = np.array(found).T
            inside = np.abs(values - values.mean()) <= reach
            facts = {"plates": plates, "signal": signal, "sd_of_plates": spread, "mean": values.mean()}
            rows.append({**facts, "coverage": inside.mean(), "width": 2 * reach.mean(), "sd": values.std()})
    return pd.DataFrame(rows)


def _shifted(rng: np.random.Generator, tally: Tally, shift: float) -> Tally:
    """New hits of one seed, whose accuracy in every well is higher by `shift`."""
    rate = np.clip(tally.hits / tally.cells + shift, 0, 1)
    return replace(tally, hits=rng.binomial(tally.cells.astype(int), rate).astype(float))


def report(table: pd.DataFrame) -> str:
    """A Markdown table of coverage: intervals in rows, SDs in columns, for one OOD quadrant and the mean of all."""
    lines: list[list[str]] = []
    for (split, kind), rows in table.groupby(["quadrant", "interval"], sort=False):
        cells = rows.set_index("sd_of_plates")["coverage"]
        what = names.QUADRANTS.get(str(split), "mean of the quadrants")
        lines.append([what, kind, *(f"{100 * cells[spread]:.0f} %" for spread in SPREADS)])
    return markdown_table(["what", "interval", *(f"SD {spread:g}" for spread in SPREADS)], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--plates", type=int, default=5, help="OOD plates")
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    simulations, replicates = (4, 20) if arguments.quick else (arguments.simulations, arguments.replicates)
    started = time.perf_counter()
    table = coverage(simulations, arguments.plates, replicates, arguments.seed)
    found = false_findings(simulations, arguments.plates, arguments.seed)
    print(report(table))
    seeds = seed_coverage(simulations // 4 or 1, arguments.plates, arguments.seed)
    print(f"\n{SEEDS} seeds, SD over plates {PLATE_SPREAD}: coverage by SD over seeds\n")
    print((100 * seeds.pivot_table(index="interval", columns="sd_of_seeds", values="coverage")).round().to_string())
    print(
        f"\n{CLAIMS} comparisons, SD 0.01, no difference: any verdict in {100 * found['any']:.0f} % of screens, "
        f"{100 * found['any_by_holm']:.0f} % by Holm"
    )
    print("\nRetrieval of replicates, interval over plates:\n")
    print(retrieval_coverage(simulations // 4 or 1, arguments.seed).round(3).to_string(index=False))
    print(
        f"{simulations} screens each, {arguments.plates} OOD plates, seed {arguments.seed}, "
        f"{time.perf_counter() - started:.0f} s, {platform.machine()}, Python {platform.python_version()}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"coverage": table.to_dict("records"), **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
