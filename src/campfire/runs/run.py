"""One run, as its config and sheets describe it: plates, encoders, files, and what is evaluated on what.

The workflow's rules take every path and parameter from this object; it knows nothing of Snakemake.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from campfire.core.columns import PLATE
from campfire.core.errors import ConfigError
from campfire.evaluation.transfer.sheet import check_trainable
from campfire.evaluation.transfer.sheet import read_sheet as read_transfer_sheet
from campfire.runs import plates, settings
from campfire.runs.config import Config
from campfire.runs.encoders import PlannedEncoder
from campfire.runs.files import Files, drawable, weight_files
from campfire.runs.fingerprint import SCRIPTS, code_state
from campfire.runs.left_out import LeftOut, in_use
from campfire.runs.plates import Plate
from campfire.screen.leave_out import drop
from campfire.screen.metadata import empty_sheet, local_content, read_sheet
from campfire.screen.split import plates_with_wells
from campfire.screen.split.sources import by_source
from campfire.training import result_values

ROLES_EVALUATED = ("id", "ood")


@dataclass(frozen=True, eq=False)
class Run:
    """A run of the workflow.

    config: the checked config; `plain` holds the same as plain values, for parameters of rules
    workflow: the folder of the workflow's files (workflow/)
    fetch: local path of a workflow's file that is at a URL, e.g. fetch("scripts/embed.py"); unused beside a checkout
    sheet: the plates in use; split_sheet: those that the split is drawn on, which `leave_out` does not change
    transfer_sheet: the wells of the transfer screen that are in use, None without one
    """

    config: Config
    workflow: Path
    sheet: pd.DataFrame
    split_sheet: pd.DataFrame
    transfer_sheet: pd.DataFrame | None
    fetch: Callable[[str], str] | None = None

    @classmethod
    def read(
        cls,
        values: Mapping[str, Any],
        workflow: str | Path,
        files: Iterable[str | Path] = (),
        fetch: Callable[[str], str] | None = None,
    ) -> "Run":
        """The run of a config's values; ConfigError or DataError for a wrong config or sheets that cannot be used.

        files: the YAML files that the config comes from, so that a message can name the line.
        """
        config = Config.read(values, files)
        sheet = by_source(read_sheet(config.sheet), config.split) if config.sheet else empty_sheet()
        used = plates_with_wells(sheet, config.split)
        split_sheet = sheet[sheet[PLATE].isin(used)].reset_index(drop=True)
        sheet = in_use(config, split_sheet)
        transfer_sheet = None
        if config.transfer.sheet:
            transfer_sheet = drop(read_transfer_sheet(config.transfer.sheet), config.leave_out).reset_index(drop=True)
            if config.transfer.head is not None:
                check_trainable(transfer_sheet, config.transfer.sheet)
        return cls(config, Path(workflow), sheet, split_sheet, transfer_sheet, fetch)

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The config as plain values with defaults filled in, as rules and scripts take them."""
        return self.config.plain()

    @cached_property
    def files(self) -> Files:
        """Names of the run's files."""
        return Files(self.config.results, self.config.logs)

    @property
    def from_embeddings(self) -> bool:
        """Whether tables and figures are made from existing embeddings, without images."""
        return self.config.start_from == "embeddings"

    @property
    def wildcards(self) -> dict[str, str]:
        """Wildcard of the rules -> pattern of the names that it may stand for."""
        names = {
            "plate": self.all_plates,
            "run": self.config.pretrain.runs,
            "encoder": self.config.encoders,
            "channels": self.config.channel_sets,
        }
        return {wildcard: "|".join(map(re.escape, known)) for wildcard, known in names.items()}

    # Plates ----------------------------------------------------------------------------------------------------------

    @cached_property
    def plates(self) -> list[str]:
        """Plates of the sheet that are in use, in its order."""
        return self.sheet[PLATE].tolist()

    @cached_property
    def transfer_plates(self) -> list[str]:
        """Plates of the transfer screen, sorted."""
        return [] if self.transfer_sheet is None else sorted(self.transfer_sheet[PLATE].unique())

    @property
    def all_plates(self) -> list[str]:
        """Plates of the sheet, then those of the transfer screen."""
        return [*self.plates, *self.transfer_plates]

    @cached_property
    def evaluation_plates(self) -> list[str]:
        """Plates on which encoders are evaluated: in distribution (id) and out of it (ood)."""
        return self.sheet.loc[self.sheet["role"].isin(ROLES_EVALUATED), PLATE].tolist()

    @cached_property
    def _plates(self) -> dict[str, Plate]:
        known = plates.sheet_plates(self.sheet, self.config)
        if self.transfer_sheet is not None:
            known += plates.transfer_plates(self.transfer_sheet, self.config)
        return {plate.name: plate for plate in known}

    def plate(self, name: str) -> Plate:
        """A plate of either sheet by its name."""
        return self._plates[name]

    def plate_wells(self, plate: str) -> str | list[str]:
        """The file with the wells that a plate of the sheet uses; [] for the transfer screen."""
        return [] if self.plate(plate).is_transfer else self.files.plate_wells(plate)

    def known_bad(self, plate: str) -> dict[str, str]:
        """Known bad objects of a plate and why."""
        return self.plate(plate).known_bad(self.config)

    @cached_property
    def left_out(self) -> LeftOut:
        """Plates, wells and sites that are left out after the split."""
        return LeftOut(self)

    @cached_property
    def evaluation_type(self) -> str:
        """Plate type of the evaluation plates (TARGET2 in JUMP), "" without any."""
        types = self.sheet.loc[self.sheet["role"] != "train", "Metadata_PlateType"]
        return str(types.iloc[0]) if self.evaluation_plates else ""

    def plates_to_train_on(self, options: Mapping[str, Any]) -> list[str]:
        """The plates that a pretraining run with these options learns from: never those out of distribution."""
        types = options.get("plate_types") or self.sheet["Metadata_PlateType"].unique()
        chosen = self.sheet["Metadata_PlateType"].isin(types) & (self.sheet["role"] != "ood")
        return self.sheet.loc[chosen, PLATE].tolist()

    # Encoders and what they are evaluated on -------------------------------------------------------------------------

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """(encoder, channel set) of every evaluation, each once, in the config's order."""
        entries = self.config.evaluate
        return list(dict.fromkeys((entry.encoder, name) for entry in entries for name in entry.channel_sets))

    @cached_property
    def transfer_encoders(self) -> list[str]:
        """Encoders of the transfer screen; none without a screen."""
        return list(self.config.transfer.encoders) if self.transfer_plates else []

    @cached_property
    def encoders(self) -> list[str]:
        """Every encoder that is used, each once."""
        return list(dict.fromkeys([*(encoder for encoder, _ in self.pairs), *self.transfer_encoders]))

    def encoder(self, name: str) -> PlannedEncoder:
        """What an encoder of the config needs."""
        options = self.plain["encoders"][name]
        pretraining = self.pretraining(options["run"]) if "run" in options else {}
        behind = self.encoder(options["encoder"]) if options["kind"] == "masked" else None
        return PlannedEncoder(name, options, pretraining, self.files, behind)

    def encoder_pattern(self, tables: bool) -> str:
        """A regular expression of the names of tables of embeddings made elsewhere, or of all other encoders."""
        chosen = [name for name in self.config.encoders if self.encoder(name).is_table is tables]
        return "|".join(map(re.escape, chosen)) or "(?!)"

    def channel_set(self, name: str) -> list[str]:
        """The channels of a channel set of the config."""
        return list(self.config.channel_sets[name])

    @cached_property
    def pretraining_runs(self) -> list[str]:
        """The pretraining runs whose weights are used, each once."""
        runs = (self.encoder(name).run for name in self.encoders)
        return list(dict.fromkeys(run for run in runs if run))

    def pretraining(self, run: str) -> dict[str, Any]:
        """Options of a pretraining run that its result depends on."""
        return result_values({"channels": self.plain["training_channels"], **self.plain["pretrain"]["runs"][run]})

    def pretraining_options(self, run: str) -> dict[str, Any]:
        """The same with keys in order, as a parameter of a rule."""
        ordered: dict[str, Any] = settings.in_order(self.pretraining(run))
        return ordered

    def imagenet(self, run: str) -> list[str]:
        """The file of ImageNet weights that a pretraining run starts from, if it is a file."""
        return weight_files([self.pretraining(run).get("imagenet")])

    def training_tiles(self, run: str) -> list[str]:
        """The tiles that a pretraining run learns from; ConfigError if there are none."""
        options = self.pretraining(run)
        found = self.plates_to_train_on(options)
        if not found:
            usable = self.sheet.loc[self.sheet["role"] != "ood", "Metadata_PlateType"].unique()
            raise ConfigError(
                f"config: pretrain.runs.{run}.plate_types: no plate that may be trained on is of type "
                f"{', '.join(options.get('plate_types', []))}; {self.config.sheet or 'the sheet'} has "
                f"{', '.join(usable) or 'none'} ([] takes them all)"
            )
        return [self.files.tiles(plate) for plate in found]

    def training_index(self, run: str) -> list[str]:
        """The tile indices of the plates that a pretraining run learns from."""
        return [self.files.tile_index(plate) for plate in self.plates_to_train_on(self.pretraining(run))]

    # Files of several plates or encoders -----------------------------------------------------------------------------

    def embeddings(self, encoder: str, channels: str) -> list[str]:
        """Embeddings of the evaluation plates, one file per plate."""
        return [self.files.embeddings(encoder, channels, plate) for plate in self.evaluation_plates]

    def transfer_embeddings(self, encoder: str) -> list[str]:
        """Embeddings of the transfer screen, one file per plate."""
        channels = self.config.transfer.channel_set
        return [self.files.embeddings(encoder, channels, plate) for plate in self.transfer_plates]

    def transfer_heads(self) -> list[str]:
        """The trained heads of the transfer screen; none where `transfer.head` is null."""
        if self.config.transfer.head is None:
            return []
        return [self.files.transfer_head(encoder) for encoder in self.transfer_encoders]

    def probe_results(self) -> list[str]:
        """Scores and predictions of every evaluation."""
        return [
            path
            for pair in self.pairs
            for path in (self.files.probe_scores(*pair), self.files.probe_predictions(*pair))
        ]

    def metadata_source(self, table: str) -> dict[str, Any]:
        """Where a metadata table comes from; a table of this machine with the digest of what it holds now."""
        source = dict(self.plain["metadata"][table])
        content = local_content(source["address"])
        return {**source, "content": content} if content else source

    def structures(self) -> str | list[str]:
        """The table of the compounds' structures where the split goes by it, else []."""
        return self.files.metadata("compound") if self.config.split.setting("exclude_same_structure") else []

    def available(self, paths: Iterable[str]) -> list[str]:
        """The available paths: all, or those that exist when results start from embeddings."""
        return [path for path in paths if not self.from_embeddings or Path(path).is_file()]

    @cached_property
    def contact_sheets(self) -> list[str]:
        """Contact sheets that exist or can be drawn without downloading a finished plate again."""
        plates = [] if self.from_embeddings else drawable(self.files, self.files.contact_sheet, self.all_plates)
        return [self.files.contact_sheet(plate) for plate in plates]

    # Parameters of rules ---------------------------------------------------------------------------------------------

    def options(self, section: str) -> dict[str, Any] | None:
        """Options of a section (`split`, `transfer.head`) that decide the result; None where the section is null."""
        values = self._section(section)
        return None if values is None else settings.result_options(section, values)

    def machine(self, section: str) -> dict[str, Any]:
        """Options of a section that only control how the work is executed.

        As a parameter of a rule they must take `input` (`lambda wildcards, input: run.machine("s3")`): such
        parameters Snakemake does not compare with those of the last run.
        """
        return settings.execution_options(section, self._section(section))

    def _section(self, section: str) -> Any:
        value: Any = self.plain
        for key in section.split("."):
            value = value[key]
        return value

    def profile_options(self) -> dict[str, Any]:
        """Options of profiles, normalised by the split's negative controls unless the section says otherwise."""
        return {"negative_controls": self.negative_controls, **self.plain["profiles"]}

    @property
    def negative_controls(self) -> list[str]:
        """The controls that are negative: those named so, else the first."""
        split = self.config.split
        return list(split.negative_controls or split.controls[:1])

    def interval_options(self) -> dict[str, Any]:
        """The options of tables that decide intervals: a change of a label must not fit probes again."""
        names = ("protocol", "replicates", "level", "seed")
        return {name: self.plain["tables"][name] for name in names}

    def counted_config(self) -> dict[str, Any]:
        """The config without options of execution and without the folders of outputs."""
        left_out = ("logs", "results", "redo", "large_run", "show_plan", "local_downloads")
        counted = {key: value for key, value in self.plain.items() if key not in left_out}
        runs = {run: self.pretraining(run) for run in self.config.pretrain.runs}
        counted["pretrain"] = {**self.plain["pretrain"], "runs": runs}
        counted["transfer"] = {**self.plain["transfer"], "head": self.options("transfer.head")}
        counted |= {name: self.options(name) for name in ("s3", "nuclei", "embed")}
        ordered: dict[str, Any] = settings.in_order(counted)
        return ordered

    def code(self, script: str, *functions: str, libraries: bool = True) -> str:
        """Digest of a script and of all library code it can run, and versions of the libraries that this code uses.

        functions: those that the script calls by name (campfire.report.tables.gaps:make).

        As a parameter of a rule it reruns what an edit affects. Rules ask for it in a lambda: every job reads the
        whole workflow, and reading all scripts costs a second.
        """
        return code_state(self.script(script), *functions, with_libraries=libraries)

    def embed_code(self, encoder: str, script: str = "embed") -> str:
        """The code of the embedding script, of the kind of an encoder and of a user-supplied one: of no other kind."""
        planned = self.encoder(encoder)
        return " ".join(filter(None, [self.code(script, *planned.factories), planned.own_code]))

    def script(self, name: str) -> Path:
        """The file of a script, fetched where the workflow is at a URL."""
        path = self.workflow / "scripts" / f"{name}.py"
        return path if path.is_file() or not self.fetch else Path(self.fetch(f"scripts/{name}.py"))

    def stage_digests(self) -> dict[str, str]:
        """Code and library versions of every script."""
        return {name: code_state(self.script(name)) for name in SCRIPTS}
