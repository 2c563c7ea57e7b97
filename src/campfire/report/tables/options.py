"""What the tables and figures of the evaluation are made of, as the configuration says it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from campfire.core.columns import CHANNELS, PAPER_CHANNELS
from campfire.evaluation.statistics import BootstrapOptions, Metric


@dataclass(frozen=True)
class TableOptions:
    """How results are summarised: which protocol leads, which encoders in which order, which intervals."""

    protocol: str = "release"
    """Protocol of the main tables and figures (release, paper or strict); the leak table shows all of them."""
    encoders: Sequence[str] = ()
    """Encoders in the order of the tables; others that were evaluated follow in alphabetical order."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Name in print of an encoder; an encoder without one is printed as it is named in the configuration."""
    paper: Mapping[str, str] = field(default_factory=dict)
    """Row of the paper's tables beside which an encoder is put: Campfire, DinoViT-S8 or DinoViT-L14."""
    channel_sets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Channels of each channel set; a set without an entry is read from its name, as DNA_AGP_Mito."""
    twins: Mapping[str, str] = field(default_factory=dict)
    """Untrained twin of each trained encoder; the trained ones are those whose claims are tested."""
    claims: Sequence[Mapping[str, str | Sequence[str]]] = ()
    """Comparisons of the table of differences, each with statement, first and second as encoder/channel_set; a list as
    second stands for the best of them. Empty takes the paper's claims."""
    paper_screen: bool = True
    """The run is on the paper's screen; false marks every difference to the paper as no comparison."""
    id_channels: str = "DNA_AGP_Mito"
    """Channel set of Table 3.1, in distribution: the channels of pretraining."""
    ood_channels: str = "DNA_ER_RNA"
    """Channel set of Table 3.2 that was not seen in pretraining."""
    replicates: int = 2000
    """Bootstrap replicates behind an interval."""
    level: float = 0.95
    """Coverage of an interval."""
    seed: int = 10
    """Seed of the bootstrap."""

    def label(self, encoder: str) -> str:
        """The name in print of an encoder."""
        return self.labels.get(encoder, encoder)

    def channels(self, name: str) -> list[str]:
        """The channels of a set, as the configuration or the name says; [] when neither does."""
        if name in self.channel_sets:
            return list(self.channel_sets[name])
        parts = name.split("_")
        return parts if all(part in CHANNELS for part in parts) else []

    def channel_label(self, name: str) -> str:
        """A channel set in the paper's names, e.g. Nu + Ac + M; the bare name when its channels are unknown."""
        return " + ".join(PAPER_CHANNELS.get(part, part) for part in self.channels(name)) or name

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
