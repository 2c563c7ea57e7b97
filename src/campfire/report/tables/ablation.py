"""Tables 2.3 to 2.5: the paper's rows of an ablation stage with the results of finished trials."""

import pandas as pd

from campfire.core.files import read_table
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.render import Table, number
from campfire.training.ablation import PAPER_CHOICE, PAPER_TABLE, read_stage

HEADS = {
    "trial": "Trial", "patch_size": "Patch size", "drop_path_rate": "Drop path", "sync_mask": "Sync mask",
    "imagenet1k_weights": "ImageNet1k", "encoder_size": "Encoder", "learning_rate": "Learning rate",
    "weight_decay": "Weight decay", "p_m": "p_m",
}  # fmt: skip
TITLES = {
    "loss": "the objective's weights and filters, as the paper prints them",
    "architecture": "the architecture",
    "mask": "the mask ratio alone (App. B)",
    "optimiser": "learning rate and weight decay",
}
FOUND = ["epochs", "validation_loss", "reconstruction_error", "rank_loss", "rank_error", "score", "best"]


def _printed(value: object) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:g}"
    return str(value)


def build(stage: str, rows: pd.DataFrame, ranking: pd.DataFrame) -> Table:
    """rows: the stage's table by trial (`training.ablation.read_stage`); ranking: ablation/{stage}/ranking.parquet.

    One line per row of the paper, in its order; trials that were not run have dashes. The best trial is bold, the trial
    taken as the paper's choice has a †.
    """
    data = rows.join(ranking.set_index("trial")[FOUND], how="left").reset_index()
    data["best"] = data["best"].eq(True)
    data["paper_choice"] = data["trial"].eq(PAPER_CHOICE[stage])
    order = {int(trial): place for place, trial in enumerate(ranking["trial"], start=1)}
    lines = []
    for record in data.to_dict("records"):
        trial = int(record["trial"])
        line = {HEADS.get(name, name): _printed(record[name]) for name in ["trial", *rows.columns]}
        line["Trial"] += "†" if record["paper_choice"] else ""
        line["Validation loss"] = number(record["validation_loss"], 4)
        line["Reconstruction error"] = number(record["reconstruction_error"], 4)
        line["Rank"] = str(order.get(trial, "–"))
        lines.append({name: f"**{cell}**" if record["best"] else cell for name, cell in line.items()})
    best = data[data["best"]].iloc[0]
    chosen = order.get(PAPER_CHOICE[stage])
    stand = f"ranks {chosen}" if chosen else "was not run"
    answer = (
        f"Trial {int(best['trial'])} is the best of {len(ranking)}: validation loss "
        f"{number(best['validation_loss'], 4)}, reconstruction error {number(best['reconstruction_error'], 4)}; "
        f"trial {PAPER_CHOICE[stage]}, taken as the paper's choice, {stand}."
    )
    notes: tuple[str, ...] = (
        "Ranked by the mean of two ranks: validation loss, and mean squared error of masked pixels of the validation "
        "wells after the last epoch; the error decides ties. Losses of different objectives are not on one scale.",
        "† Taken as the paper's choice (docs/decisions.md): the paper prints no values for its trials. Trials without "
        "values were not run.",
    )
    early = data.loc[data["epochs"] < data["epochs"].max(), "trial"].astype(int)
    if len(early):
        notes += (
            f"Trials that ended early, because too many of their steps were not finite, come last: "
            f"{', '.join(map(str, early))}.",
        )
    if stage == "loss":
        notes += (
            "Weights under the paper's names; where `pretrain.ablation.reading` is permuted, as by default, the last "
            "three are taken as those of frequency, high- and low-pass, which is how h and l are given in all 27 rows.",
        )
    table = f"Table {PAPER_TABLE[stage]}. " if PAPER_TABLE[stage] else ""
    title = f"{table}Ablation of {TITLES[stage]}."
    return Table(title, data, pd.DataFrame(lines), notes, answer)


def make(files: Files, settings: Settings) -> Table:
    """The table of a stage from ablation/{stage}/ranking.parquet."""
    return build(settings.stage, read_stage(settings.stage, settings.study), read_table(files["ranking"][0]))
