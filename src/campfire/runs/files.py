"""Names of all files that a run reads and writes; `Files` itself never accesses the disk."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

TABLE_SUFFIXES = ("html", "csv", "md", "tex", "json")
"""The report shows the html; the csv has full precision, the json what is printed."""
FIGURE_SUFFIXES = ("svg", "pdf", "png", "csv")
"""The report shows the svg; the csv holds what is drawn."""


@dataclass(frozen=True)
class Files:
    """Paths below the folders of results and logs; a name may be a wildcard, e.g. `files.tiles("{plate}")`."""

    results: str = "results"
    logs: str = "logs"

    def result(self, path: str) -> str:
        """A path below the folder of results."""
        return f"{self.results}/{path}"

    def log(self, path: str) -> str:
        """The log file of a job."""
        return f"{self.logs}/{path}.log"

    def benchmark(self, path: str) -> str:
        """The file in which Snakemake records a job's time and memory."""
        return self.result(f"benchmarks/{path}.tsv")

    def state(self, path: str) -> str:
        """The folder of the state from which a stopped job resumes; Snakemake does not know it and never deletes it."""
        return self.result(f"state/{path}")

    def metadata(self, table: str) -> str:
        """A table of JUMP's metadata: plate, well or compound."""
        return self.result(f"metadata/{table}.csv.gz")

    @property
    def wells(self) -> str:
        """The split: the role of every well."""
        return self.result("split/wells.parquet")

    def plate_wells(self, plate: str) -> str:
        """The wells of one plate that have a role, so that a plate depends on its own wells only."""
        return self.result(f"split/plates/{plate}.tsv")

    def images(self, plate: str) -> str:
        """The folder of a plate's raw images, removed once its tiles are cut."""
        return self.result(f"images/{plate}")

    def download(self, plate: str) -> str:
        """The record of a plate's download."""
        return self.result(f"download/{plate}.parquet")

    def download_plan(self, plate: str) -> str:
        """Number of objects and bytes of a plate's download."""
        return self.result(f"download/{plate}.plan.json")

    def nuclei(self, plate: str) -> str:
        """The nuclei of a plate."""
        return self.result(f"nuclei/{plate}.parquet")

    def quality(self, plate: str) -> str:
        """Quality measures of a plate's sites."""
        return self.result(f"quality/{plate}.parquet")

    @property
    def attrition(self) -> str:
        """The number of wells, sites and nuclei that each stage excluded."""
        return self.result("attrition/counts.parquet")

    def tiles(self, plate: str) -> str:
        """The tiles of a plate."""
        return self.result(f"tiles/{plate}.npy")

    def tile_index(self, plate: str) -> str:
        """The index of a plate's tiles: the nucleus of each."""
        return self.result(f"tiles/{plate}.parquet")

    @property
    def sample(self) -> str:
        """The cells that the probes use."""
        return self.result("sample/cells.parquet")

    @property
    def transfer_sample(self) -> str:
        """The cells of the transfer screen that are embedded."""
        return self.result("sample/transfer.parquet")

    def pretrained(self, run: str, name: str = "model.safetensors") -> str:
        """A file of a pretraining run: model.safetensors, metrics.parquet or snapshots.npz."""
        return self.result(f"pretrain/{run}/{name}")

    def unseen(self, run: str) -> str:
        """What the model of a pretraining run fills in on unseen wells and channels."""
        return self.result(f"unseen/{run}.npz")

    def trial(self, stage: str, trial: str, name: str) -> str:
        """A file of an ablation trial: options.json, or as of a pretraining run."""
        return self.result(f"ablation/{stage}/{trial}/{name}")

    def ranking(self, stage: str) -> str:
        """The ranked trials of an ablation stage."""
        return self.result(f"ablation/{stage}/ranking.parquet")

    def embeddings(self, encoder: str, channels: str, plate: str) -> str:
        """Embeddings of a plate's cells by one encoder on one channel set."""
        return self.result(f"embeddings/{encoder}/{channels}/{plate}.parquet")

    def matching(self, encoder: str, channels: str, screen: str = "") -> str:
        """How many cells of each plate a table of embeddings made elsewhere has; `screen` for the transfer screen."""
        return self.result(f"embeddings/{encoder}/{channels}/matching{screen and '_'}{screen}.tsv")

    def probe_scores(self, encoder: str, channels: str) -> str:
        """Scores of the linear probes."""
        return self.result(f"probes/{encoder}/{channels}/scores.parquet")

    def probe_predictions(self, encoder: str, channels: str) -> str:
        """Predictions of the linear probes."""
        return self.result(f"probes/{encoder}/{channels}/predictions.parquet")

    def leakage(self, encoder: str, channels: str) -> str:
        """Effects of the sources of data leakage."""
        return self.result(f"leakage/{encoder}/{channels}.parquet")

    def profiles(self, encoder: str, channels: str) -> str:
        """Neighbours, well-level probes, replicate retrieval and variance."""
        return self.result(f"profiles/{encoder}/{channels}.parquet")

    def transfer_wells(self, encoder: str) -> str:
        """Well embeddings of the transfer screen."""
        return self.result(f"transfer/{encoder}/wells.parquet")

    def transfer_head(self, encoder: str) -> str:
        """The head trained on the transfer screen."""
        return self.result(f"transfer/{encoder}/head.safetensors")

    def zprime(self, encoder: str) -> str:
        """Z' of the transfer screen's controls."""
        return self.result(f"transfer/{encoder}/zprime.parquet")

    def table(self, name: str, suffixes: Iterable[str] = TABLE_SUFFIXES) -> list[str]:
        """The files of a table."""
        return [self.result(f"tables/{name}.{suffix}") for suffix in suffixes]

    def figure(self, name: str, suffixes: Iterable[str] = FIGURE_SUFFIXES) -> list[str]:
        """The files of a figure."""
        return [self.result(f"figures/{name}.{suffix}") for suffix in suffixes]

    def contact_sheet(self, plate: str) -> str:
        """The contact sheet of a plate: chosen sites with the outlines of their nuclei."""
        return self.result(f"figures/contact_sheet/{plate}.jpg")

    @property
    def page(self) -> str:
        """The page to browse: results as a story, plates, wells, sites and cells."""
        return self.result("page/index.html")

    def page_plate(self, plate: str) -> str:
        """A plate's sites, nuclei and cells, beside the page."""
        return self.result(f"page/plates/{plate}.js")

    def page_pictures(self, plate: str) -> dict[str, str]:
        """Small pictures of a plate for the page: sheets of sites and of cells, and the table of what is where."""
        return {
            "sites": self.result(f"page/sites/{plate}.jpg"),
            "cells": self.result(f"page/cells/{plate}.jpg"),
            "pictures": self.result(f"page/pictures/{plate}.parquet"),
        }

    @property
    def findings(self) -> str:
        """The page of findings."""
        return self.result("findings.html")

    @property
    def provenance(self) -> str:
        """Provenance of the results, with checksums."""
        return self.result("provenance.json")

    @property
    def bundle(self) -> str:
        """One archive of everything behind the tables and figures."""
        return self.result("bundle.tar")

    @property
    def source_check(self) -> str:
        """The report on a few objects of each batch at the source."""
        return self.result("check_source.md")


def weight_files(choices: Iterable[str | None]) -> list[str]:
    """The files among values of weights; other values are names (hub, random, hf-hub:...) or empty."""
    return [path for path in choices if path and path not in ("hub", "random") and not path.startswith("hf-hub:")]


def existing(paths: Iterable[str]) -> list[str]:
    """The paths at which there is a file."""
    return [path for path in paths if Path(path).is_file()]


def drawable(files: Files, picture: Callable[[str], str], plates: Iterable[str]) -> list[str]:
    """Plates whose picture exists, and those whose images exist or are still to be downloaded.

    A finished plate without a picture gets none, because its images would have to be downloaded again.
    """

    def exists(*paths: str) -> bool:
        return any(Path(path).exists() for path in paths)

    return [
        plate
        for plate in plates
        if exists(picture(plate), files.images(plate)) or not exists(files.nuclei(plate), files.tile_index(plate))
    ]
