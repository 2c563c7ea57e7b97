"""Catalogue of tables and figures: the function that builds each, its inputs, and its section of the report.

To add one, write a module with `make(files, settings)` and an entry here; `campfire.runs.results` selects the
entries of a run. `make` is named as text, not imported, so that a change of one table's code reruns that table only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["table", "figure"]

SECTIONS = {
    "findings": "1 Findings",
    "images": "2 Images and nuclei",
    "split": "3 The split",
    "pretraining": "4 Pretraining",
    "quadrants": "5 Encoders and quadrants",
    "channels": "6 Channels",
    "leakage": "7 Protocols and leakage",
    "profiles": "8 Profiles of wells",
    "transfer": "9 Transfer to another screen",
    "ablation": "10 Ablations",
}
"""Sections of the report, in order."""


NAMES = ("options.channel_labels", "options.compound_labels", "options.paper_screen")
"""Settings that determine printed names of channels and compounds."""
SETS = ("options.id_channels", "options.channel_sets")
"""Settings that determine the channels of the leading set."""


@dataclass(frozen=True)
class Entry:
    """A table or figure of the report."""

    kind: Kind
    name: str
    """Its files are {tables,figures}/<name>.*; for a family, <name>/<member>.*."""
    title: str
    section: str
    """Key of SECTIONS."""
    inputs: tuple[str, ...]
    """Required inputs; a run without one of them does not have this item."""
    optional: tuple[str, ...] = ()
    """Optional inputs."""
    settings: tuple[str, ...] = ("options",)
    """Fields of `Settings` that it depends on; `options.<name>` is one option of the section `tables`, and
    `leave_out_of_evaluation` is `leave_out` of evaluation plates only."""
    needs: tuple[str, ...] = ()
    """Further requirements on the run: ood_channels, protocols, comparisons, channel_sets, pretraining, masked,
    unseen_channels, training_channels, other_laboratory, seeds."""
    make: str = ""
    """The function that builds it; empty means `make` of the module of that name."""
    family: bool = False
    """Whether there is one per plate."""

    @property
    def function(self) -> str:
        """The function that builds it, as module:function."""
        return self.make or f"campfire.report.{self.kind}s.{self.name}:make"


def _table(name: str, title: str, section: str, inputs: Sequence[str], **more: object) -> Entry:
    return Entry("table", name, title, section, tuple(inputs), **more)  # type: ignore[arg-type]


def _figure(name: str, title: str, section: str, inputs: Sequence[str], **more: object) -> Entry:
    return Entry("figure", name, title, section, tuple(inputs), **more)  # type: ignore[arg-type]


TABLES = (
    _table("attrition", "Attrition", "images", ["attrition"], settings=()),
    _table("ranking", "Which encoder is best", "quadrants", ["probes"]),
    _table(
        *("seeds", "Encoders over seeds", "quadrants", ["probes"]),
        optional=("metrics",),
        settings=("options", "repeats"),
        needs=("seeds",),
    ),
    _table(
        *("seed_differences", "Differences over seeds", "quadrants", ["probes"]),
        settings=("options", "repeats"),
        needs=("seeds",),
    ),
    _table("accuracies", "Accuracies", "quadrants", ["probes"]),
    _table(
        *("table_3_1", "Table 3.1", "quadrants", ["accuracies"]),
        optional=("differences",),
        settings=("options", "licences"),
    ),
    _table("gaps", "OOD gaps", "quadrants", ["probes"]),
    _table("laboratories", "Other laboratories", "quadrants", ["probes", "wells"], needs=("other_laboratory",)),
    _table("leakage", "Leakage", "leakage", ["leakage"]),
    _table(
        *("outside_cell", "Outside of the cell", "leakage", ["probes"]),
        make="campfire.report.tables.compared:make_outside",
        settings=("options", "masked"),
        needs=("masked",),
    ),
    _table("profiles", "Profiles", "profiles", ["profiles"]),
    _table(
        *("variance", "Shares of variance", "profiles", ["profiles"]),
        make="campfire.report.tables.profiles:make_variance",
    ),
    _table("retrieval", "Graded retrieval", "profiles", ["profiles"]),
    _table("quadrants", "Wells by quadrant", "split", ["wells"], settings=("split_protocol", "leave_out")),
    _table(
        *("table_3_2", "Table 3.2", "channels", ["accuracies"]),
        optional=("differences",),
        settings=("options", "licences"),
        needs=("ood_channels",),
    ),
    _table(
        *("unseen_channels", "Unseen channels", "channels", ["probes"]),
        make="campfire.report.tables.compared:make_unseen",
        settings=("options", "trained_on"),
        needs=("unseen_channels",),
    ),
    _table(
        *("training_channels", "Training channels", "channels", ["probes"]),
        make="campfire.report.tables.compared:make_training",
        settings=("options", "trained_on"),
        needs=("training_channels",),
    ),
    _table("protocols", "Protocols", "leakage", ["accuracies"], needs=("protocols",)),
    _table("differences", "Differences", "quadrants", ["probes"], needs=("comparisons",)),
    _table("transfer", "Transfer: Z′", "transfer", ["zprime"]),
)

FIGURES = (
    _figure("plate_layout", "Plate layout", "images", ["quality"], settings=NAMES, family=True),
    _figure("figure_2_1", "Figure 2.1", "split", ["wells"], settings=("controls", "plate_type", "leave_out", *NAMES)),
    _figure(
        *("cells", "Cells of every compound", "split", ["tiles", "wells"]),
        settings=("controls", "leave_out_of_evaluation", *NAMES, *SETS),
    ),
    _figure(
        *("typical", "Typical and confused cells", "profiles"),
        inputs=["test_tiles", "wells", "plate_embeddings", "predictions"],
        settings=("controls", "options.protocol", *NAMES, *SETS),
    ),
    _figure(
        *("embedding_map", "Maps of wells and cells", "profiles", ["embeddings", "wells"]),
        settings=("options.labels", "encoder", "controls", "leave_out_of_evaluation", *NAMES),
    ),
    _figure(
        *("similarity", "Similarity of compounds", "profiles", ["embeddings", "wells"]),
        settings=("options.labels", "encoder", "controls", "leave_out_of_evaluation", *NAMES),
    ),
    _figure("ood_gap", "OOD gap", "quadrants", ["gaps"]),
    _figure("confusion", "Confusion", "quadrants", ["predictions"], settings=("options.protocol", *NAMES)),
    _figure("profiles", "Profiles", "profiles", ["profiles_table", "variance"], settings=()),
    _figure(
        *("figure_3_4", "Figure 3.4", "channels", ["accuracies"]),
        settings=("options", "encoder", "channel_sets"),
        needs=("channel_sets",),
    ),
    _figure(
        *("figure_2_2", "Figure 2.2", "pretraining", []),
        settings=("model", "channels", *NAMES),
        needs=("pretraining",),
    ),
    _figure("unseen", "Unseen wells and channels", "pretraining", ["unseen"], settings=NAMES),
    _figure("figure_3_3", "Figure 3.3", "pretraining", ["snapshots"], settings=NAMES),
    _figure("training_curves", "Training curves", "pretraining", ["metrics"], settings=("options.labels", *NAMES)),
    _figure("claims", "Claims", "quadrants", ["differences"], settings=()),
    _figure("figure_3_5", "Figure 3.5", "transfer", ["zprime"], settings=("options.labels",)),
)

CONTACT_SHEET = _figure(
    *("contact_sheet", "Contact sheet", "images", []), make="campfire.report.figures.contact_sheet:draw", family=True
)
"""Drawn by a rule of its own, while a plate's images are on disk; it is one picture, without data beside it."""
