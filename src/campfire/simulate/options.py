"""Options of the simulated screen."""

from dataclasses import dataclass

from campfire.core.errors import ConfigError


@dataclass(frozen=True)
class ScreenOptions:
    """What is simulated. Effects and shifts are in log units of the cells' parameters.

    seed: of everything.
    bucket, prefix, source: where the images lie in the simulated S3.
    id_plates, ood_plates: TARGET2-like plates; the OOD plates come from a batch of their own.
    compound_plates: COMPOUND-like plates; the last shares the batch of the OOD plates, as some do in JUMP.
    transfer_plates: macrophage-like plates, M1 and M2 in turn (0: none).
    positive_controls, compounds: treatments of a TARGET2-like plate, one well each.
    dmso_wells: vehicle wells of a TARGET2-like plate.
    compound_wells: wells of a COMPOUND-like plate.
    transfer_controls: wells of the negative, and of the positive, control on a transfer plate.
    transfer_genes: gene knock-outs on a transfer plate, two wells each.
    sites, field: sites per well and their side in px.
    cells: cells that lie in a site on average.
    effect: mean strength of a treatment's mechanisms.
    penetrance: share of cells that respond to a treatment.
    plate_shift, well_shift: spread of what a plate, and a well, adds to the cells' parameters.
    ood_shift: how much larger the shift of the OOD batch is.
    illumination: write the illumination function of each plate and channel.
    corrupt: COMPOUND-like plates with one image filled with zeros, as some in the gallery are.
    workers: processes.
    """

    seed: int = 7
    bucket: str = "cellpainting-gallery"
    prefix: str = "cpg0016-jump"
    source: str = "source_99"
    id_plates: int = 7
    ood_plates: int = 2
    compound_plates: int = 2
    transfer_plates: int = 4
    positive_controls: int = 8
    compounds: int = 10
    dmso_wells: int = 2
    compound_wells: int = 16
    transfer_controls: int = 4
    transfer_genes: int = 3
    sites: int = 2
    field: int = 400
    cells: int = 30
    effect: float = 1.8
    penetrance: float = 0.95
    plate_shift: float = 0.05
    well_shift: float = 0.03
    ood_shift: float = 2.0
    illumination: bool = True
    corrupt: int = 1
    workers: int = 2

    def __post_init__(self) -> None:
        for name, least in (
            ("id_plates", 1),
            ("positive_controls", 1),
            ("dmso_wells", 1),
            ("sites", 1),
            ("field", 136),
            ("cells", 1),
            ("workers", 1),
            ("seed", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"simulated screen: {name} is {getattr(self, name)}; give {least} or more")
        if self.positive_controls + self.compounds + self.dmso_wells > 384:
            raise ConfigError("simulated screen: more wells than a 384-well plate has; lower compounds")
        if not 0 < self.penetrance <= 1:
            raise ConfigError(f"simulated screen: penetrance is {self.penetrance}; give a share above 0, at most 1")
        if self.transfer_plates not in (0, 2, 4, 6, 8):
            raise ConfigError(f"simulated screen: transfer_plates is {self.transfer_plates}; give 0, 2, 4, 6 or 8")
