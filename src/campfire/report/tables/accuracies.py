"""Every accuracy of the evaluation: encoder x channel set x protocol x quadrant. The other tables use it."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError
from campfire.evaluation.options import Metric
from campfire.evaluation.probes.options import in_order
from campfire.evaluation.statistics import MEAN, bootstrap_accuracy
from campfire.evaluation.tally import MIN_UNITS, UNEVEN, class_shares, has_uneven_classes
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, mean_and_spread, number
from campfire.report.tables.sources import ProbeResult, probe_results
from campfire.report.tables.verdict import exceeds

logger = logging.getLogger(__name__)


def _quadrant(scores: pd.DataFrame, predictions: pd.DataFrame, classes: int) -> dict[str, Any]:
    """Scores and cell counts of one quadrant, to complement its interval."""
    row: dict[str, Any] = {}
    for name in ("balanced_accuracy", "macro_f1"):
        row |= {name: scores[name].mean(), f"{name}_sd": scores[name].std(ddof=0)}
    row |= {"n_classes": classes, "chance": 1 / classes, "majority": class_shares(predictions)[1]}
    row |= {"n_train": int(scores["n_train"].min()), "n_train_min": int(scores["n_train_min"].min())}
    return row | {"doubt": "; ".join(dict.fromkeys(text for text in scores["doubt"] if text))}


def _above_chance(row: dict[str, Any]) -> bool:
    """Whether the printed interval of the leading metric lies above guessing."""
    if row["uneven"]:
        return exceeds(row["balanced_low"], row["chance"])
    return exceeds(row["low"], row["majority"])


def _rows(result: ProbeResult, options: TableOptions) -> Iterator[dict[str, Any]]:
    scores, predictions = result.scores(), result.predictions()
    predictions = predictions[predictions["split"].isin(list(QUADRANTS))]
    grouped = {
        name: dict(list(table.groupby(["protocol", "split"], observed=True)))
        for name, table in (("scores", scores), ("predictions", predictions))
    }
    classes = predictions.groupby(["protocol", "task"], observed=True)["truth"].nunique()
    balanced = bootstrap_accuracy(predictions, options.bootstrap("balanced_accuracy")).set_index(["protocol", "split"])
    for found in bootstrap_accuracy(predictions, options.bootstrap()).to_dict("records"):
        protocol, task, split = found["protocol"], found["task"], found["split"]
        if split == MEAN:
            continue
        if (protocol, split) not in grouped["scores"]:
            raise DataError(
                f"{result.folder / 'scores.parquet'}: has no row for {protocol}, {split}, unlike predictions.parquet; "
                "delete both and run the probe again"
            )
        row: dict[str, Any] = {
            "encoder": result.encoder,
            "label": options.label(result.encoder),
            "channels": result.channels,
            "channel_label": options.channel_label(result.channels),
            "protocol": protocol,
            "task": task,
            "split": split,
            "quadrant": QUADRANTS[split],
            "accuracy": found["value"],
            **{name: found[name] for name in ("sd", "sd_sample", "low", "high")},
            "level": options.level,
            "n_fits": found["fits"],
            "n_wells": found["n_wells"],
            "n_cells": found["n_cells"],
            **_quadrant(
                grouped["scores"][protocol, split],
                grouped["predictions"][protocol, split],
                int(classes[protocol, task]),
            ),
        }
        row |= {f"balanced_{name}": float(balanced.loc[(protocol, split), name]) for name in ("low", "high")}
        row["uneven"] = row["majority"] > UNEVEN * row["chance"]
        yield row | {"above_chance": _above_chance(row)}


def collect(results: Iterable[ProbeResult], options: TableOptions) -> pd.DataFrame:
    """The long table, one row per encoder, channel set, protocol and quadrant.

    Columns: encoder, label, channels, channel_label, protocol, task, split, quadrant; accuracy (mean over fits), sd
    (population SD over fits), sd_sample (ddof 1), low and high (bootstrap over wells), level; n_fits, n_wells,
    n_cells; balanced_accuracy and macro_f1 with their sd; n_classes, chance (1 / n_classes), majority (share of the
    largest class); balanced_low and balanced_high, uneven (the largest class has over 1.25 times its equal share) and
    above_chance (the printed interval of accuracy lies above the largest class; that of balanced accuracy above 1 / K
    where classes are uneven); n_train and n_train_min (training cells of the fit with the fewest, and of its rarest
    class) and doubt (why fits may not be trained properly, else empty). Files are read one by one, so only one encoder
    and channel set is in memory.
    """
    rows: list[dict[str, Any]] = []
    for result in results:
        logger.info("accuracies of %s on %s", result.encoder, result.channels)
        rows += _rows(result, options)
    if not rows:
        raise DataError("no probe scores were given; add encoders and channel sets to the evaluation")
    table = pd.DataFrame(rows)
    encoders = options.order(list(table["encoder"]))
    table = table[table["encoder"].isin(encoders)]
    protocols = in_order(list(table["protocol"]))
    ranks: dict[str, list[str]] = {
        "encoder": encoders,
        "channels": sorted(set(table["channels"]), key=options.channel_rank),
        "protocol": protocols,
        "split": list(QUADRANTS),
    }
    return table.sort_values(list(ranks), key=lambda c: c.map(ranks[str(c.name)].index), ignore_index=True)


DOUBT = " ‡"
"""Mark of a value whose fits may not be trained properly."""


def doubt_notes(data: pd.DataFrame) -> list[str]:
    """Note on marked rows of tables/accuracies.csv; none without a marked row."""
    reasons = dict.fromkeys(part for text in data["doubt"].fillna("") for part in str(text).split("; ") if part)
    if not reasons:
        return []
    return [
        f"‡ Some of these fits may not be trained properly ({'; '.join(reasons)}): sample more cells, or lower "
        "probe.subsets or probe.folds (docs/your-screen.md)."
    ]


def leading_metric(predictions: pd.DataFrame) -> Metric:
    """The metric for comparisons under a protocol: balanced accuracy where any quadrant is uneven."""
    return "balanced_accuracy" if has_uneven_classes(predictions) else "accuracy"


def interval_note(options: TableOptions) -> str:
    """The note that explains the brackets."""
    return (
        f"Brackets: {100 * options.level:g} % percentile interval of {options.replicates:,} bootstrap replicates that "
        "resample wells within each compound (those of a single well as one group), all "
        f"cells and fits of a well together; none for fewer than {MIN_UNITS} wells."
    )


def build(results: Iterable[ProbeResult], options: TableOptions) -> Table:
    """All accuracies as a table; its `data` is what `collect` returns."""
    data = collect(results, options)
    layout = pd.DataFrame(
        {
            "Encoder": data["label"],
            "Channels": data["channel_label"],
            "Protocol": data["protocol"],
            "Quadrant": data["quadrant"],
            "Accuracy": [
                f"{mean_and_spread(r['accuracy'], r['sd'], r['n_fits'])} {interval(r['low'], r['high'])}".strip()
                for r in data.to_dict("records")
            ],
            "Balanced accuracy": [
                f"{number(r['balanced_accuracy'])} {interval(r['balanced_low'], r['balanced_high'])}".strip()
                for r in data.to_dict("records")
            ],
            "Macro F1": [number(value) for value in data["macro_f1"]],
            "Chance": [number(value) for value in data["chance"]],
            "Largest class": [number(value) for value in data["majority"]],
            "Fits": [f"{r['n_fits']}{DOUBT if r['doubt'] else ''}" for r in data.to_dict("records")],
            "Training cells (rarest class)": [
                f"{r['n_train']:,} ({r['n_train_min']:,})" for r in data.to_dict("records")
            ],
            "Wells": [f"{value:,}" for value in data["n_wells"]],
            "Cells": [f"{value:,}" for value in data["n_cells"]],
        }
    )
    notes = ("Accuracy: mean ± population standard deviation over fits. " + interval_note(options), *doubt_notes(data))
    return Table("Accuracy of the linear probes on single cells, every encoder and channel set.", data, layout, notes)


def make(files: Files, settings: Settings) -> Table:
    """The table from the probes' files."""
    return build(probe_results(files["probes"]), settings.options)
