"""The tables and figures of a run, their inputs, and their place in the report.

The catalogue (`campfire.report.catalogue`) lists all that exist; `Results` says which of them the config requests.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from campfire.core.columns import PLATE
from campfire.core.errors import ConfigError
from campfire.encoders import licence_of
from campfire.evaluation.transfer.sheet import has_control_groups
from campfire.report import captions, catalogue
from campfire.report.catalogue import SECTIONS, Entry, Kind
from campfire.report.tables.options import TableOptions
from campfire.runs import comparisons
from campfire.runs.files import FIGURE_SUFFIXES, TABLE_SUFFIXES
from campfire.runs.run import Run


@dataclass(frozen=True)
class Results:
    """The tables and figures of a run."""

    run: Run

    def __post_init__(self) -> None:
        if self.run.pairs and not self.leading:
            sets = ", ".join(dict.fromkeys(channels for _, channels in self.run.pairs))
            raise ConfigError(
                f"config: no encoder of `evaluate` has the channel set {self.id_channels}, which tables.id_channels "
                f"makes the leading one; add it there, or set tables.id_channels to one of {sets}"
            )

    @property
    def id_channels(self) -> str:
        """The leading channel set: the channels of pretraining."""
        return self.run.config.tables.id_channels

    @property
    def ood_channels(self) -> str:
        """The channel set that pretraining never saw."""
        return self.run.config.tables.ood_channels

    @cached_property
    def leading(self) -> list[str]:
        """Encoders evaluated on the leading channel set; figures of a single encoder show the first."""
        return [encoder for encoder, channels in self.run.pairs if channels == self.id_channels]

    @cached_property
    def growing_sets(self) -> list[str]:
        """The channel sets of figure 3.4: those of the first encoder that hold training channels only."""
        trained, sets = set(self.run.config.training_channels), self.run.config.channel_sets
        entries = self.run.config.evaluate[:1]
        return [name for entry in entries for name in entry.channel_sets if set(sets[name]) <= trained]

    @cached_property
    def id_plates(self) -> list[str]:
        """Evaluation plates in distribution."""
        sheet = self.run.sheet
        return [str(name) for name in sheet.loc[sheet["role"] == "id", PLATE]]

    @cached_property
    def test_plates(self) -> list[str]:
        """Evaluation plates, those out of distribution first: all of their wells are test wells."""
        return sorted(self.run.evaluation_plates, key=lambda plate: plate in self.id_plates)

    @cached_property
    def reconstructed_runs(self) -> list[str]:
        """The first pretraining run, if its model identifies channels by their content: relatives know theirs only."""
        return self.run.pretraining_runs[:1] if self.model.get("family", "campfire") == "campfire" else []

    def reconstructed_sets(self, name: str) -> dict[str, list[str]]:
        """Channels of a pretraining run, and the untrained set where the test plate has all of its channels."""
        there = set(self.run.plate(self.test_plates[0]).channels)
        sets = {"seen": self.run.pretraining(name)["channels"]}
        sets["unseen"] = self.run.config.channel_sets.get(self.ood_channels, [])
        return {kind: list(channels) for kind, channels in sets.items() if channels and set(channels) <= there}

    @cached_property
    def model(self) -> dict[str, Any]:
        """Architecture of the first pretraining run; {} without one."""
        run = next(iter(self.run.pretraining_runs), None)
        return dict(self.run.pretraining(run).get("model", {})) if run else {}

    # What exists -----------------------------------------------------------------------------------------------------

    @cached_property
    def _inputs(self) -> dict[str, list[str]]:
        """Input of the catalogue -> its files; [] if the run does not have it."""
        run, files, lead = self.run, self.run.files, self.leading
        test = self.test_plates[:1]
        inputs = {
            "probes": run.probe_results() if lead else [],
            "wells": [files.wells] if lead else [],
            "attrition": run.available([files.attrition]),
            "predictions": [files.probe_predictions(encoder, self.id_channels) for encoder in lead[:1]],
            "leakage": [files.leakage(encoder, self.id_channels) for encoder in lead],
            "profiles": [files.profiles(encoder, self.id_channels) for encoder in lead],
            "zprime": [files.zprime(encoder) for encoder in run.transfer_encoders if self.transfer_is_compared],
            "embeddings": [path for encoder in lead[:1] for path in run.embeddings(encoder, self.id_channels)],
            "plate_embeddings": [files.embeddings(lead[0], self.id_channels, plate) for plate in test if lead],
            "test_tiles": run.available(map(files.tiles, test)) if lead else [],
            "unseen": run.available(files.unseen(name) for name in self.reconstructed_runs if lead and test),
            "tiles": run.available(files.tiles(plate) for plate in self.id_plates[:1]) if lead else [],
            "quality": run.available(files.quality(plate) for plate in run.all_plates),
        }
        for name, file in (("snapshots", "snapshots.npz"), ("metrics", "metrics.parquet")):
            inputs[name] = run.available(files.pretrained(name, file) for name in run.pretraining_runs)
        for table in ("accuracies", "gaps", "profiles", "variance"):
            name = "profiles_table" if table == "profiles" else table
            inputs[name] = files.table(table, ["csv"]) if lead else []
        inputs["differences"] = files.table("differences", ["csv"]) if len(run.pairs) > 1 else []
        return inputs

    @cached_property
    def transfer_is_compared(self) -> bool:
        """Whether the transfer screen has control groups to compare; without a head it may have none."""
        if self.run.config.transfer.head is None and not has_control_groups(self.run.transfer_sheet):
            return False
        return bool(self.run.available(map(self.run.files.transfer_wells, self.run.transfer_encoders)))

    def _has(self, entry: Entry) -> bool:
        conditions = {
            "ood_channels": bool({(encoder, self.ood_channels) for encoder in self.leading} & set(self.run.pairs)),
            "protocols": len(self.run.config.probe.protocols) > 1,
            "comparisons": len(self.run.pairs) > 1,
            "channel_sets": bool(self.growing_sets),
            "pretraining": bool(self.run.pretraining_runs),
            "other_laboratory": bool(comparisons.other_laboratories(self.run)),
            "masked": bool(comparisons.masked(self.run, self.leading)),
            "unseen_channels": comparisons.adds_unseen_channels(self.run),
            "seeds": bool(comparisons.repeats(self.run, self.leading)),
            "training_channels": comparisons.differs_in_training_channels(self.run, self.leading),
        }
        return all(conditions[need] for need in entry.needs) and all(self._inputs[name] for name in entry.inputs)

    @cached_property
    def tables(self) -> dict[str, Entry]:
        """The tables of this run by name, in the catalogue's order."""
        return {entry.name: entry for entry in catalogue.TABLES if self._has(entry)}

    @cached_property
    def figures(self) -> dict[str, Entry]:
        """The figures of this run by name, in the catalogue's order; families have one name."""
        return {entry.name: entry for entry in catalogue.FIGURES if self._has(entry)}

    @cached_property
    def single_figures(self) -> list[str]:
        """Names of the figures that are not families."""
        return [name for name, entry in self.figures.items() if not entry.family]

    def members(self, family: str) -> list[str]:
        """The names of a family's figures, e.g. plate_layout/<plate>; [] where the run has none."""
        if family not in self.figures:
            return []
        (name,) = self.figures[family].inputs
        return [f"{family}/{path.rsplit('/', 1)[-1].rsplit('.', 1)[0]}" for path in self._inputs[name]]

    def family(self, name: str) -> list[tuple[dict[str, list[str]], str]]:
        """For each figure of a family its inputs and the file that the report shows; [] where the run has none."""
        if name not in self.figures:
            return []
        (source,) = self.figures[name].inputs
        pairs = zip(self._inputs[source], self.members(name), strict=True)
        return [({source: [path]}, self.files("figure", member)[0]) for path, member in pairs]

    def family_files(self, name: str) -> list[str]:
        """The other files of a family's figures."""
        return [path for member in self.members(name) for path in self.files("figure", member)[1:]]

    # Files -----------------------------------------------------------------------------------------------------------

    def files(self, kind: Kind, name: str) -> list[str]:
        """The files of a table or figure; the first is the one that the report shows. A name may be a wildcard."""
        return self.run.files.table(name) if kind == "table" else self.run.files.figure(name)

    @cached_property
    def table_files(self) -> list[str]:
        """The files of all tables."""
        return [path for name in self.tables for path in self.files("table", name)]

    @cached_property
    def figure_files(self) -> list[str]:
        """The files of all figures, contact sheets of plates among them."""
        names = [name for entry in self.figures.values() for name in self._names(entry)]
        return [path for name in names for path in self.files("figure", name)] + self.run.contact_sheets

    def _names(self, entry: Entry) -> list[str]:
        return self.members(entry.name) if entry.family else [entry.name]

    @cached_property
    def findings(self) -> list[str]:
        """The page of findings; [] for a run that evaluates nothing."""
        return [self.run.files.findings] if self.run.pairs or self.transfer_is_compared else []

    @property
    def pages(self) -> list[str]:
        """The page of findings, and the page to browse."""
        return [*self.findings, self.run.files.page]

    # What rules use --------------------------------------------------------------------------------------------------

    def entry(self, kind: Kind, name: str) -> Entry:
        """The catalogue's entry of a table or figure of this run."""
        return (self.tables if kind == "table" else self.figures)[name]

    def inputs(self, kind: Kind, name: str) -> dict[str, list[str]]:
        """Inputs of a table or figure by name."""
        entry = self.entry(kind, name)
        return {name: self._inputs[name] for name in (*entry.inputs, *entry.optional) if self._inputs[name]}

    def settings(self, kind: Kind, name: str) -> dict[str, Any]:
        """What a table or figure depends on besides its inputs: the fields of `report.tables.inputs.Settings`."""
        return self._settings(self.entry(kind, name).settings)

    def page_settings(self, title: str) -> dict[str, Any]:
        """What a page of all results depends on besides tables and figures: its title, and the options."""
        return {**self._settings(("options",)), "title": f"{title} ({self.run.files.results})"}

    def _settings(self, names: Iterable[str]) -> dict[str, Any]:
        split, lead = self.run.config.split, [*self.run.pairs, ("", "")][0][0]
        values: dict[str, Any] = {
            "split_protocol": split.protocol,
            "controls": list(split.controls),
            "plate_type": self.run.evaluation_type,
            "encoder": lead,
            "licences": self.licences,
            "masked": comparisons.masked(self.run, self.leading),
            "trained_on": comparisons.trained_on(self.run),
            "repeats": comparisons.repeats(self.run, self.leading),
            "channel_sets": self.growing_sets,
            "channels": list(self.run.config.training_channels),
            "model": self.model,
            "options": self.options,
            "leave_out": self.run.left_out.all,
        }
        chosen: dict[str, Any] = {}
        for name in names:
            section, _, option = name.partition(".")
            if name == "leave_out_of_evaluation":
                chosen["leave_out"] = self.run.left_out.of_evaluation
            elif not option:
                chosen[name] = values[name]
            elif option in self.options:
                chosen.setdefault(section, {})[option] = self.options[option]
        return chosen

    @cached_property
    def licences(self) -> dict[str, str]:
        """Licences of the published encoders that are evaluated."""
        used = dict.fromkeys(encoder for encoder, _ in self.run.pairs)
        found = {name: licence_of(self.run.plain["encoders"][name]) for name in used}
        return {name: licence for name, licence in found.items() if licence}

    @cached_property
    def options(self) -> dict[str, Any]:
        """Section `tables` of the config, and what each channel set that is used holds."""
        used = {channels for _, channels in self.run.pairs} | {self.run.config.transfer.channel_set}
        sets = {name: channels for name, channels in self.run.plain["channel_sets"].items() if name in used}
        named = self.run.plain["tables"]
        paper = {"paper": self._paper(named["paper"]), "paper_screen": comparisons.is_papers(self.run)}
        return {"channel_sets": sets, **named, "labels": self.labels, **paper}

    @cached_property
    def labels(self) -> dict[str, str]:
        """Names of encoders in print: the config's, else one that describes the weights of an untrained twin."""
        labels = dict(self.run.config.tables.labels)
        for name in self.run.encoders:
            options = self.run.encoder(name).options
            if options["kind"] == "untrained":
                run = options.get("run")
                start = self.run.pretraining(run).get("imagenet") if run else options.get("imagenet")
                labels.setdefault(name, "Untrained twin (ImageNet weights)" if start else "Untrained twin")
            elif options.get("weights") == "random":
                labels[name] = f"{labels.get(name, name)} (random weights)"
        return labels

    def _paper(self, rows: Mapping[str, str]) -> dict[str, str]:
        """The paper's row beside each encoder, left out where the encoder has random weights."""
        random = {name for name in rows if self.run.plain["encoders"].get(name, {}).get("weights") == "random"}
        return {name: row for name, row in rows.items() if name not in random}

    def caption(self, kind: Kind, name: str) -> str:
        """The caption of a table or figure for the Snakemake report (reStructuredText)."""
        return captions.restructured(kind, name, TableOptions(**self.options))

    def code(self, kind: Kind, name: str) -> str:
        """Code and library versions behind a table or figure, those of the function that builds it among them."""
        return self.run.code(kind, self.entry(kind, name).function)

    def digests(self) -> dict[str, str]:
        """Code and library versions of every script, table and figure."""
        shown: list[tuple[Kind, str]] = [("table", name) for name in self.tables]
        shown += [("figure", name) for name in self.figures]
        scripts = {name: code for name, code in self.run.stage_digests().items() if name not in ("table", "figure")}
        return scripts | {f"{kind} {name}": self.code(kind, name) for kind, name in shown}

    @staticmethod
    def section(kind: Kind, name: str) -> str:
        """The section of the report that shows a table or figure."""
        return SECTIONS[_listed(kind, name).section]

    @staticmethod
    def title(kind: Kind, name: str) -> str:
        """The title of a table or figure in the list of the report, followed by the name of a member of a family."""
        return " ".join([_listed(kind, name).title, *name.split("/")[1:]])

    def check(self, targets: Iterable[str]) -> None:
        """Raise ConfigError if a target is a table or figure that this run does not have."""
        for target in targets:
            if wrong := self.explain(target):
                raise ConfigError(wrong)

    def explain(self, target: str) -> str:
        """What is wrong with a target for a table or figure that this run does not have; else ""."""
        suffixes = "|".join({*TABLE_SUFFIXES, *FIGURE_SUFFIXES})
        match = re.fullmatch(rf"{re.escape(self.run.files.results)}/(figure|table)s/(.+)[.](?:{suffixes})", target)
        if not match or match[2].startswith(("ablation_", "plate_layout/")):
            return ""
        known = [*self.tables] if match[1] == "table" else self.single_figures
        if match[2] in known:
            return ""
        near = get_close_matches(match[2], known, n=1)
        meant = f"; did you mean {near[0]}?" if near else "."
        return f"{target}: this run has no such {match[1]}{meant} It has {', '.join(known)}"


def recorded_files(results: Results) -> list[str]:
    """The files whose checksums identify a set of results; `make verify` compares them."""
    run, files = results.run, results.run.files
    shown = [*results.table_files, *results.figure_files, *results.pages]
    if run.from_embeddings:
        return [*(path for pair in run.pairs for path in run.embeddings(*pair)), *shown]
    drawn = [files.wells, files.sample] if run.pairs else [files.transfer_sample]
    return [*drawn, *map(files.pretrained, run.pretraining_runs), *run.transfer_heads(), *shown]


def _listed(kind: Kind, name: str) -> Entry:
    entries = catalogue.TABLES if kind == "table" else (*catalogue.FIGURES, catalogue.CONTACT_SHEET)
    return next(entry for entry in entries if entry.name == name.split("/")[0])
