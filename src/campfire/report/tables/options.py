"""Options of the tables and figures of the evaluation: section `tables` of the config."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from campfire.core.columns import CHANNELS, PAPER_CHANNELS, ProtocolName
from campfire.core.options import Names, Options, Seed, option
from campfire.evaluation.options import BootstrapOptions, Metric
from campfire.screen.metadata.jump import NEGATIVE_CONTROL, POSITIVE_CONTROLS

CONTROL_NAMES = {NEGATIVE_CONTROL: "DMSO", **POSITIVE_CONTROLS}


class Claim(Options):
    """A comparison of two results in the table of differences."""

    statement: str = option(..., "the sentence that the comparison is about", min_length=1)
    name: str = option("", "short name of the comparison; empty numbers it")
    first: str = option(..., "encoder/channel_set", min_length=1)
    second: str | Names = option(..., "encoder/channel_set; a list stands for the best of them")


class TableOptions(Options):
    """How results are summarised: leading protocol, order of encoders, intervals."""

    section: ClassVar[str] = "tables"

    protocol: ProtocolName = option(
        "release", "protocol of the main tables and figures (release, paper or strict); the table of leakage shows all"
    )
    encoders: Names = option(
        (), "encoders in the order of the tables; others that were evaluated follow in alphabetical order"
    )
    labels: Mapping[str, str] = option(
        {}, "name in print of an encoder; an encoder without one is printed as it is named in the config"
    )
    paper: Mapping[str, Literal["Campfire", "DinoViT-S8", "DinoViT-L14"]] = option(
        {}, "row of the paper's tables beside which an encoder is put: Campfire, DinoViT-S8 or DinoViT-L14"
    )
    channel_sets: Mapping[str, Names] = option(
        {}, "channels of each channel set; a set without an entry is read from its name, as DNA_AGP_Mito", internal=True
    )
    twins: Mapping[str, str] = option(
        {}, "untrained twin of each trained encoder; the trained ones are those whose claims are tested"
    )
    channel_labels: Mapping[str, str] = option(
        {},
        "name in print of a channel; others have the paper's names on the paper's screen, and their own elsewhere",
    )
    compound_labels: Mapping[str, str] = option(
        {}, "name in print of a compound; others have the names of JUMP's controls, or their identifier"
    )
    claims: Annotated[Sequence[Claim], AfterValidator(tuple)] = option(
        (),
        "comparisons of the table of differences, each with statement, first and second as encoder/channel_set; a list "
        "as second stands for the best of them; empty takes the paper's claims",
    )
    paper_screen: bool = option(
        True,
        "print the paper's values where the OOD plates are the paper's; elsewhere none is printed, whatever is set",
    )
    id_channels: str = option(
        "DNA_AGP_Mito", "channel set of Table 3.1, in distribution: the channels of pretraining", source="paper 3.3"
    )
    ood_channels: str = option(
        "DNA_ER_RNA", "channel set of Table 3.2 that was not seen in pretraining", source="paper 3.4"
    )
    replicates: int = option(2000, "bootstrap replicates behind an interval", ge=1)
    level: float = option(0.95, "coverage of an interval, a fraction", gt=0, lt=1)
    seed: Seed = option(10, "seed of the bootstrap")

    def label(self, encoder: str) -> str:
        """The name in print of an encoder."""
        return self.labels.get(encoder, encoder)

    def channels(self, name: str) -> list[str]:
        """The channels of a set, from the configuration or its name; [] when unknown."""
        if name in self.channel_sets:
            return list(self.channel_sets[name])
        parts = name.split("_")
        return parts if all(part in CHANNELS for part in parts) else []

    def channel_label(self, name: str) -> str:
        """A channel set in print, e.g. Nu + Ac + M; the bare name when its channels are unknown."""
        return " + ".join(self.channel_name(part) for part in self.channels(name)) or name

    def channel_name(self, channel: str) -> str:
        """The name in print of a channel: the user's, else the paper's on the paper's screen, else its own."""
        known = PAPER_CHANNELS if self.paper_screen else {}
        return self.channel_labels.get(channel, known.get(channel, channel))

    def compound_name(self, compound: str) -> str:
        """The name in print of a compound: the user's, else that of a JUMP control, else its identifier."""
        return self.compound_labels.get(compound, CONTROL_NAMES.get(compound, compound))

    def channel_rank(self, name: str) -> tuple[int, list[int], str]:
        """Sorting key of channel sets: fewer channels first, then in the model's channel order."""
        parts = self.channels(name)
        order = {channel: number for number, channel in enumerate(CHANNELS)}
        return len(parts) or 1000, [order.get(part, len(order)) for part in parts], name

    def bootstrap(self, metric: Metric = "accuracy") -> BootstrapOptions:
        """The resampling behind every interval."""
        return BootstrapOptions(replicates=self.replicates, level=self.level, seed=self.seed, metric=metric)

    def order(self, encoders: Sequence[str]) -> list[str]:
        """`encoders` in the order of the tables: as the configuration lists them, then the others by name."""
        present = set(encoders)
        listed = [name for name in self.encoders if name in present]
        return [*listed, *sorted(present - set(listed))]
