"""The root of the config: which sections there are, and the option class that each of them is."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from campfire.core.columns import CHANNELS, PROTOCOLS
from campfire.core.options import Counts, Names, Options, PixelSize, about, option
from campfire.encoders import KINDS
from campfire.evaluation.options import ProtocolNames, SampleOptions
from campfire.evaluation.probes.options import ProbeOptions
from campfire.evaluation.profiles.options import ProfileOptions
from campfire.evaluation.transfer.options import HeadOptions, ZprimeOptions
from campfire.images.gallery.options import S3Options
from campfire.images.options import NucleiOptions, QualityOptions
from campfire.images.tiles.options import TileOptions
from campfire.report.tables.options import TableOptions
from campfire.screen.names import plain_channel, plain_name
from campfire.screen.places import read_entries
from campfire.screen.split.options import SplitOptions
from campfire.training.options import AblationOptions, PretrainOptions

if TYPE_CHECKING:
    EncoderOptions = Options
else:
    EncoderOptions = Annotated[reduce(or_, (kind.options for kind in KINDS.values())), Field(discriminator="kind")]
"""An entry of `encoders`: `kind` says which of the registered option classes it is."""

Name = Annotated[str, AfterValidator(plain_name)]
"""A name that becomes part of paths."""
Channel = Annotated[str, AfterValidator(plain_channel)]
ChannelNames = Annotated[Sequence[Channel], Field(min_length=1), AfterValidator(tuple)]
Stage = Literal["images", "tiles", "pretrain", "embed", "all"]
AblationStage = Literal["loss", "architecture", "mask", "optimiser"]
STAGES: tuple[AblationStage, ...] = get_args(AblationStage)


def _listed(value: Any) -> Any:
    """Text with commas, as --config gives it, as a list."""
    if value is None:
        return []
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _by_stage(value: Any) -> Any:
    """A choice of trials by stage; null stands for all of a stage."""
    if value == "all":
        return dict.fromkeys(STAGES)
    if isinstance(value, str | list | tuple):
        return dict.fromkeys(_listed(value))
    if isinstance(value, Mapping):
        chosen = {stage: None if trials == "all" else trials for stage, trials in value.items()}
        return {stage: [trials] if isinstance(trials, int) else trials for stage, trials in chosen.items()}
    return value


class MetadataTable(Options):
    """A table of JUMP's metadata and where it is."""

    address: str = option(..., "https or file address, or a path", min_length=1)
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = option(
        None, "its SHA-256; null does not check"
    )


class PretrainSection(Options):
    """Pretraining."""

    runs: Mapping[Name, PretrainOptions] = option({}, "pretraining runs by name")
    ablation: AblationOptions = option(AblationOptions(), "the ablation study", source="paper App. B")


class Evaluation(Options):
    """An encoder on channel sets."""

    encoder: str = option(..., "name of an encoder")
    channel_sets: Names = option(..., "names of channel sets", min_length=1)


class EmbedSection(Options):
    """Embedding."""

    cells: Literal["sampled", "all"] = option(
        "sampled", "sampled: cells that the probes use; all: every tile", source="docs/decisions.md"
    )
    batch_size: int = option(512, "tiles per forward pass", execution=True, ge=1)


class ProbeSection(ProbeOptions):
    """The linear probes, and the protocols that they follow."""

    protocols: ProtocolNames = option(PROTOCOLS, "evaluation protocols that are run side by side", min_length=1)


class TransferSection(Options):
    """The transfer screen: another screen, on which a head is trained on frozen embeddings."""

    sheet: str | None = option(None, "wells of the transfer screen (TSV); null leaves it out")
    pixel_size_um: PixelSize = option(0.597976, "pixel size of that screen", unit="um")
    channel_set: str = option("DNA_AGP_Mito", "channel set that is embedded", source="paper 3.5")
    encoders: Names = option((), "encoders that are transferred")
    cells_per_well: int = option(200, "most cells embedded per well", source="docs/decisions.md", ge=1)
    head: HeadOptions | None = option(HeadOptions(), "head on the embeddings; null trains none", source="paper 3.5")
    zprime: ZprimeOptions = option(ZprimeOptions(), "Z' between control groups")


class Config(Options):
    """The whole config."""

    results: str = option("results", "root of all results", execution=True, min_length=1)
    logs: str = option("logs", "root of the log files", execution=True, min_length=1)
    start_from: Literal["images", "embeddings"] = option(
        "images", "images: the whole chain; embeddings: only tables and figures, from cached embeddings"
    )
    redo: Annotated[Sequence[Stage], BeforeValidator(_listed), AfterValidator(tuple)] = option(
        (), "finished stages that may be redone: images, tiles, pretrain, embed or all", execution=True
    )
    large_run: bool = option(
        False, "confirms a run that fetches more than 100 GB or pretrains for days without a GPU", execution=True
    )
    show_plan: bool = option(False, "print what the plan costs (`make plan`)", execution=True)
    sheet: str | None = option(
        None, "sheet of plates (TSV): source, batch, plate, type, role; null: only a transfer screen"
    )
    metadata: Mapping[Literal["plate", "well", "compound"], MetadataTable] = option({}, "JUMP's metadata tables")
    channels: ChannelNames = option(
        tuple(CHANNELS), "channels fetched for evaluation plates; the nuclear stain is called DNA"
    )
    training_channels: ChannelNames = option(("DNA", "AGP", "Mito"), "channels used in pretraining", source="paper 3.1")
    pixel_size_um: PixelSize = option(
        0.597976, "pixel size (Opera Phenix of source_3: JUMP microscope_config.csv)", unit="um"
    )
    local_downloads: bool = option(
        False,
        "fetch images where Snakemake runs (a login or transfer node) and not in cluster jobs: nodes without internet",
        execution=True,
    )
    s3: S3Options = option(S3Options(), "source of the images, limits and retries")
    known_bad: str | None = option(None, "objects known to be corrupt (TSV: key, reason)")
    leave_out: Annotated[Mapping[str, str], BeforeValidator(read_entries)] = option(
        {},
        "plates, wells and sites to leave out, with the reason: `PLATE`, `PLATE/A01` or `PLATE/A01/1` to text; applied "
        "after the split, so no other well changes its role and no other plate is made again",
    )
    split: SplitOptions = option(SplitOptions(), "assignment of wells to training and test")
    illumination: Literal["none", "gallery"] = option(
        "none", "divide by the plate's illumination function", source="docs/decisions.md"
    )
    illumination_offset: float = option(
        0.0,
        "signal of the camera without light, left out of the division; CellProfiler uses 0",
        unit="counts",
        source="docs/decisions.md",
        ge=0,
        le=65535,
    )
    quality: QualityOptions = option(QualityOptions(), "quality measures, and the thresholds that exclude sites")
    nuclei: NucleiOptions = option(NucleiOptions(), "how nuclei are segmented")
    tiles: TileOptions = option(TileOptions(), "how tiles are cut and stored")
    sample: SampleOptions = option(SampleOptions(), "how many cells the probes use")
    pretrain: PretrainSection = option(PretrainSection(), "pretraining runs and the ablation study")
    trials: Annotated[Mapping[AblationStage, Counts | None], BeforeValidator(_by_stage)] = option(
        dict.fromkeys(STAGES),
        "trials of the target `ablation`: all, a stage (loss), stages, or trials by stage ({loss: [1, 3]}; null: all)",
    )
    channel_sets: Mapping[Name, ChannelNames] = option({}, "named sets of channels", source="paper 3.3, 3.4")
    encoders: Mapping[Name, EncoderOptions] = option({}, "encoders by name")
    evaluate: Annotated[Sequence[Evaluation], AfterValidator(tuple)] = option((), "what is embedded and probed")
    embed: EmbedSection = option(EmbedSection(), "embedding")
    probe: ProbeSection = option(ProbeSection(), "linear probes")
    profiles: ProfileOptions = option(ProfileOptions(), "k-NN, wells, replicate retrieval, variance")
    transfer: TransferSection = option(TransferSection(), "the transfer screen")
    tables: TableOptions = option(TableOptions(), "tables and figures")

    section: ClassVar[str] = ""

    @classmethod
    def read(cls, values: Mapping[str, Any], files: Iterable[str | Path] = ()) -> "Config":
        """The config from plain values; one ConfigError lists all mistakes with their lines in `files`.

        files: the YAML files that the values come from, a later one laid over the earlier ones.
        """
        from campfire.runs.config.read import read

        return read(values, files)

    def part(self, path: str) -> Any:
        """The section at a path, e.g. `split`, `transfer.head`, `pretrain.runs.campfire`."""
        found: Any = self
        for key in path.split("."):
            found = found[key] if isinstance(found, Mapping) else getattr(found, key)
        return found

    def plain(self) -> dict[str, Any]:
        """All options as plain values with defaults filled in; of an encoder only what is set.

        What the workflow sets itself (`internal`) is left out.
        """
        values: dict[str, Any] = _plain(self, self.model_dump(mode="json"))
        for name, encoder in values["encoders"].items():
            values["encoders"][name] = {key: value for key, value in encoder.items() if value is not None}
        return values


def _plain(value: Any, dumped: Any) -> Any:
    """Dumped options without internal ones."""
    if isinstance(value, Options):
        names = (name for name in type(value).model_fields if not about(type(value), name).get("internal"))
        return {name: _plain(getattr(value, name), dumped[name]) for name in names}
    if isinstance(value, Mapping):
        return {key: _plain(item, dumped[key]) for key, item in value.items()}
    return dumped
