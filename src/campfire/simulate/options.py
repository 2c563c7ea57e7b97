"""Options of the simulated screen."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from campfire.core.columns import CHANNELS
from campfire.core.options import Names, Options, PixelSize, Seed, option


class ScreenOptions(Options):
    """The simulated screen. Effects and shifts are in log units of the cells' parameters."""

    section: ClassVar[str] = "simulated screen"

    seed: Seed = option(7, "seed of all draws")
    bucket: str = option("cellpainting-gallery", "bucket in the simulated S3", min_length=1)
    prefix: str = option("cpg0016-jump", "first folder of every key")
    source: str = option("source_99", "source, the folder below the prefix", min_length=1)
    id_plates: int = option(7, "TARGET2-like plates in distribution", ge=1)
    ood_plates: int = option(2, "TARGET2-like plates out of distribution, from a batch of their own", ge=0)
    other_plates: int = option(
        0, "TARGET2-like plates of a second source, out of distribution: other camera, fewer channels, own layout", ge=0
    )
    other_source: str = option("source_98", "the second source", min_length=1)
    other_pixel_size_um: PixelSize = option(0.45, "pixel size of its camera", unit="um")
    other_channels: Names = option(("DNA", "AGP", "ER"), "its channels, the nuclear stain DNA among them", min_length=1)
    compound_plates: int = option(
        2, "COMPOUND-like plates; the last shares the batch of the OOD plates, as some do in JUMP", ge=0
    )
    transfer_plates: Literal[0, 2, 4, 6, 8] = option(4, "macrophage-like plates, M1 and M2 in turn (0: none)")
    positive_controls: int = option(8, "positive controls of a TARGET2-like plate, one well each", ge=1)
    compounds: int = option(10, "other treatments of a TARGET2-like plate, one well each", ge=0)
    dmso_wells: int = option(2, "vehicle wells of a TARGET2-like plate", ge=1)
    compound_wells: int = option(16, "wells of a COMPOUND-like plate", ge=0, le=384)
    transfer_controls: int = option(4, "wells of the negative, and of the positive, control on a transfer plate", ge=0)
    transfer_genes: int = option(3, "gene knock-outs on a transfer plate, two wells each", ge=0)
    sites: int = option(2, "sites per well", ge=1)
    field: int = option(400, "side of a site", unit="px", ge=136)
    cells: int = option(30, "mean number of cells in a site", ge=1)
    effect: float = option(1.8, "mean strength of a treatment's mechanisms", ge=0)
    penetrance: float = option(0.95, "share of cells that respond to a treatment", gt=0, le=1)
    plate_shift: float = option(0.05, "spread of the plate effect on the cells' parameters", ge=0)
    well_shift: float = option(0.03, "spread of the well effect on the cells' parameters", ge=0)
    ood_shift: float = option(2.0, "how much larger the shift of the OOD batch is", ge=0)
    illumination: bool = option(True, "write the illumination function of each plate and channel")
    corrupt: int = option(1, "COMPOUND-like plates with one image filled with zeros, as some in the gallery are", ge=0)
    workers: int = option(2, "processes", execution=True, ge=1)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.positive_controls + self.compounds + self.dmso_wells > 384:
            yield "compounds", "positive_controls, compounds and dmso_wells exceed the 384 wells of a plate; lower one"
        if "DNA" not in self.other_channels or not set(self.other_channels) <= set(CHANNELS):
            yield "other_channels", f"must be DNA and others of {', '.join(CHANNELS)}"
