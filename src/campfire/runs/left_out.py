"""What a run leaves out after its split, and which part of it a step depends on."""

import re
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from campfire.core.columns import BATCH, PLATE, SOURCE
from campfire.images.gallery.plan import read_known_bad
from campfire.runs.config import Config
from campfire.runs.plates import image_folder
from campfire.screen.leave_out import of_plates, whole_plates

if TYPE_CHECKING:
    from campfire.runs.run import Run


def entries(config: Config, sheet: pd.DataFrame) -> dict[str, str]:
    """All that is left out, place -> reason: `leave_out`, and plates whose whole folder is listed as known bad."""
    listed = read_known_bad(config.known_bad) if config.known_bad else {}
    folders = {key.lstrip("/"): reason for key, reason in listed.items() if key.endswith("/")}
    bad = {}
    for row in sheet.to_dict("records") if folders else ():
        place = {"source": row[SOURCE], "batch": row[BATCH], "plate": row[PLATE]}
        folder = image_folder(place, config.s3.prefix)
        whole = re.compile(rf"{re.escape(folder)}(__[^/]*)?/(Images/)?")  # a measurement's time may follow the name
        for key, why in folders.items():
            if f"{folder}/".startswith(key) or whole.fullmatch(key):
                bad[row[PLATE]] = f"known bad: {why}"
    return {**bad, **config.leave_out}


def in_use(config: Config, sheet: pd.DataFrame) -> pd.DataFrame:
    """The plates of a sheet without those that are left out as a whole."""
    return sheet[~sheet[PLATE].isin(whole_plates(entries(config, sheet)))].reset_index(drop=True)


class LeftOut:
    """What a run leaves out. A step gets the entries on plates that it reads, so that others leave it unchanged."""

    def __init__(self, run: "Run") -> None:
        self.run = run

    @cached_property
    def all(self) -> dict[str, str]:
        """Place (PLATE, PLATE/WELL or PLATE/WELL/SITE) -> reason."""
        return entries(self.run.config, self.run.split_sheet)

    def of(self, plates: Iterable[str]) -> dict[str, str]:
        """The entries on some plates."""
        return of_plates(self.all, plates)

    @cached_property
    def of_evaluation(self) -> dict[str, str]:
        """The entries on evaluation plates, whole plates among them."""
        sheet = self.run.split_sheet
        return self.of(sheet.loc[sheet["role"] != "train", PLATE])

    def of_training(self, run: str) -> dict[str, str]:
        """The entries on plates that a pretraining run learns from."""
        return self.of(self.run.plates_to_train_on(self.run.pretraining(run)))

    @property
    def of_embedding(self) -> dict[str, str]:
        """The entries on embedded plates where every tile is embedded; a sample of cells lacks them already."""
        every = self.run.config.embed.cells == "all"
        return self.of([*self.run.evaluation_plates, *self.run.transfer_plates] if every else [])
