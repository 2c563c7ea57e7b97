"""The simulated screen's plan: plates, batches, wells, treatments, and the effects of each plate."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from campfire.core.columns import CHANNELS
from campfire.core.random import keyed_generator
from campfire.screen.metadata import NEGATIVE_CONTROL, UNTREATED
from campfire.screen.wells import row_letters
from campfire.simulate.field import Optics
from campfire.simulate.options import ScreenOptions
from campfire.simulate.phenotype import CELL_KINDS, PARAMETERS, Treatment, draw_treatments

PIXEL_SIZE_UM = 0.597976
"""Of JUMP's source_3; the simulated cells have the size of U2OS cells at this scale."""

CHANNEL_NUMBERS = {
    "standard": {"Mito": 1, "AGP": 2, "RNA": 3, "ER": 4, "DNA": 5},
    "other": {"ER": 2, "AGP": 3, "Mito": 4, "DNA": 5, "RNA": 6},
}
"""Number of a channel in a file's name; it differs between batches, as in JUMP."""

LOAD_DATA_STYLES = ("csv_illum", "parquet_orig", "csv")
"""load_data_with_illum.csv with URL_ columns, its parquet predecessor with PathName_ and FileName_, load_data.csv."""


@dataclass(frozen=True)
class Well:
    """A well and its contents."""

    name: str
    compound: str
    treatment: Treatment
    control: str = ""
    """neg, pos or empty; of the transfer screen only."""


@dataclass(frozen=True)
class Plate:
    """A plate, its wells, and its own optics and biology."""

    name: str
    batch: str
    plate_type: str
    role: str
    """id, ood or train; of a transfer plate train or heldout."""
    folder: str
    wells: Sequence[Well]
    optics: Optics
    shift: dict[str, float]
    """Log-shift of the cells' parameters on this plate."""
    density: float
    """Cells of this plate relative to the screen's mean."""
    kind: str = "U2OS"
    channel_numbers: str = "standard"
    load_data: str = "csv_illum"
    group: str = ""
    corrupt: bool = False
    """One image of the plate is filled with zeros, as happened to some in the gallery."""
    source: str = ""
    """Its source; empty is the screen's."""
    pixel_size_um: float = PIXEL_SIZE_UM
    channels: Sequence[str] = tuple(CHANNELS)


@dataclass(frozen=True)
class Layout:
    """The whole plan."""

    plates: list[Plate]
    transfer: list[Plate]
    treatments: list[Treatment] = field(default_factory=list)

    @property
    def everything(self) -> list[Plate]:
        return [*self.plates, *self.transfer]


def generator_of(options: ScreenOptions, *keys: str | int) -> np.random.Generator:
    """A generator for this part of the screen, independent of the order in which plates are made."""
    return keyed_generator(options.seed, *map(str, keys))


def well_name(index: int) -> str:
    """A01 .. P24 of a 384-well plate, row by row, from 0."""
    return f"{row_letters(index // 24)}{index % 24 + 1:02d}"


def plan_screen(options: ScreenOptions) -> Layout:
    """Draw the plan of a screen; only the options count."""
    rng = generator_of(options, "panel")
    strength = (0.75 * options.effect, 1.25 * options.effect)
    positives = [f"JCP2022_9{k:05d}" for k in range(1, options.positive_controls + 1)]
    panel = [f"JCP2022_91{k:04d}" for k in range(1, options.compounds + 1)]
    treatments = draw_treatments(positives + panel, rng, strength)
    vehicle = Treatment(NEGATIVE_CONTROL, {})
    evaluation = [vehicle] * options.dmso_wells + treatments
    places = np.sort(rng.permutation(384)[: len(evaluation)])
    order = rng.permutation(len(evaluation))
    wells = [Well(well_name(p), evaluation[i].name, evaluation[i]) for p, i in zip(places, order, strict=True)]

    id_batches = [f"SIM_{k}" for k in range(1, max(1, round(options.id_plates / 3)) + 1)]
    ood_batch = "SIM_OOD"
    plates = []
    for k in range(options.id_plates + options.ood_plates):
        ood = k >= options.id_plates
        batch = ood_batch if ood else id_batches[k * len(id_batches) // options.id_plates]
        plates.append(_plate(options, f"SIMQC{k + 1:03d}", batch, "TARGET2", "ood" if ood else "id", wells, ood, k))

    plates += [_other_plate(options, k, evaluation) for k in range(options.other_plates)]

    library = options.compound_wells * options.compound_plates
    new = draw_treatments(
        [f"JCP2022_92{k:04d}" for k in range(1, library + 1)], generator_of(options, "library"), strength
    )
    for k in range(options.compound_plates):
        contents = [vehicle, vehicle, Treatment(UNTREATED, {})]
        contents += [treatments[(4 * k + i) % len(treatments)] for i in range(min(4, len(treatments)))]
        contents += new[k * options.compound_wells : (k + 1) * options.compound_wells]
        contents = contents[: options.compound_wells]
        places = np.sort(generator_of(options, "library", k).permutation(384)[: len(contents)])
        filled = [Well(well_name(p), t.name, t) for p, t in zip(places, contents, strict=True)]
        # As in JUMP, batches of OOD plates also contain COMPOUND plates: the last one is from such a batch.
        ood = k == options.compound_plates - 1 and options.compound_plates > 1 and options.ood_plates > 0
        batch = ood_batch if ood else id_batches[k % len(id_batches)]
        # An all-digit name, as some JUMP plates have, must survive as text.
        plates.append(
            _plate(
                options, f"11000{k + 1:05d}", batch, "COMPOUND", "train", filled, ood, k, corrupt=k < options.corrupt
            )
        )
    return Layout(plates, _transfer(options) if options.transfer_plates else [], treatments)


def _other_plate(options: ScreenOptions, number: int, evaluation: Sequence[Treatment]) -> Plate:
    """A plate of the second source: the treatments of the evaluation plates in another layout, by another camera."""
    rng = generator_of(options, "other layout")
    places = np.sort(rng.permutation(384)[: len(evaluation)])
    order = rng.permutation(len(evaluation))
    wells = [Well(well_name(p), evaluation[i].name, evaluation[i]) for p, i in zip(places, order, strict=True)]
    plate = _plate(options, f"OTHER{number + 1:03d}", "OTHER_1", "TARGET2", "ood", wells, True, number)
    finer = PIXEL_SIZE_UM / options.other_pixel_size_um
    return replace(
        plate,
        optics=replace(plate.optics, blur=plate.optics.blur * finer),
        source=options.other_source,
        pixel_size_um=options.other_pixel_size_um,
        channels=[channel for channel in CHANNELS if channel in options.other_channels],
    )


def _transfer(options: ScreenOptions) -> list[Plate]:
    """Macrophage-like plates: M1 and M2 in turn, the first of each trained on, the others held out."""
    rng = generator_of(options, "transfer")
    positive = draw_treatments(["JCP2022_805000"], rng, (1.6 * options.effect, 1.6 * options.effect))[0]
    genes = draw_treatments(
        [f"JCP2022_80{k:04d}" for k in range(1, options.transfer_genes + 1)],
        rng,
        (0.8 * options.effect, 1.3 * options.effect),
    )
    contents = [(Treatment("JCP2022_800000", {}), "neg")] * options.transfer_controls
    contents += [(positive, "pos")] * options.transfer_controls
    contents += [(gene, "") for gene in genes for _ in range(2)]
    places = np.sort(rng.permutation(384)[: len(contents)])
    order = rng.permutation(len(contents))
    wells = [
        Well(well_name(p), contents[i][0].name, contents[i][0], contents[i][1])
        for p, i in zip(places, order, strict=True)
    ]
    plates = []
    for k in range(options.transfer_plates):
        kind = ("M1", "M2")[k % 2]
        plates.append(
            _plate(
                options,
                f"SIM{kind}{'abcdefgh'[k // 2]}",
                "SIM_MACROPHAGE",
                "CRISPR",
                "train" if k < 2 else "heldout",
                wells,
                False,
                k,
                kind=kind,
            )
        )
    return plates


def _plate(
    options: ScreenOptions,
    name: str,
    batch: str,
    plate_type: str,
    role: str,
    wells: Sequence[Well],
    ood: bool,
    number: int,
    kind: str = "U2OS",
    corrupt: bool = False,
) -> Plate:
    """A plate with its batch's shift and its own, in staining, optics and biology."""
    batch_rng, rng = generator_of(options, "batch", batch), generator_of(options, "plate", name)
    reach = options.ood_shift if ood else 1.0
    default = Optics()

    def spread(sd: float, size: int = 5) -> NDArray[np.float64]:
        return np.exp(reach * batch_rng.normal(0, sd, size) + rng.normal(0, 0.5 * sd, size))

    gain = tuple(float(v) for v in np.round(np.array(default.gain) * spread(0.2), 1))
    background = tuple(float(v) for v in np.round(np.array(default.background) * spread(0.12), 1))
    optics = Optics(
        gain=gain,  # type: ignore[arg-type]
        background=background,  # type: ignore[arg-type]
        blur=round(float(default.blur * spread(0.08, 1)[0]), 3),
        haze=round(float(default.haze * spread(0.2, 1)[0]), 3),
        vignette=round(float(np.clip(default.vignette * spread(0.2, 1)[0], 0.0, 0.6)), 3),
        centre=(round(float(rng.uniform(0.4, 0.6)), 3), round(float(rng.uniform(0.4, 0.6)), 3)),
        read_noise=default.read_noise,
    )
    names = list(PARAMETERS)
    sd = options.plate_shift
    shift = reach * batch_rng.normal(0, sd, len(names)) + rng.normal(0, 0.6 * sd, len(names))
    taken = f"2026-0{1 + number % 9}-1{number % 10}T0{number % 10}_{10 + number}_52"
    return Plate(
        name=name,
        batch=batch,
        plate_type=plate_type,
        role=role,
        folder=f"{name}__{taken}-Measurement 1",
        wells=wells,
        optics=optics,
        shift={n: float(s) for n, s in zip(names, shift, strict=True)},
        density=float(np.exp(rng.normal(0, 0.08))),
        kind=kind,
        channel_numbers="other" if ood else "standard",
        load_data=LOAD_DATA_STYLES[number % len(LOAD_DATA_STYLES)],
        group=kind if kind != "U2OS" else "",
        corrupt=corrupt,
    )


def well_effects(options: ScreenOptions, plate: Plate, well: Well) -> tuple[list[dict[str, float]], float]:
    """Shifts that all cells of a well share (cell kind, plate, the well's own) and its relative density."""
    rng = generator_of(options, "well", plate.name, well.name)
    own = rng.normal(0, options.well_shift, len(PARAMETERS))
    shifts = [CELL_KINDS[plate.kind], plate.shift, dict(zip(PARAMETERS, own.tolist(), strict=True))]
    return shifts, plate.density * float(np.exp(rng.normal(0, 0.10)))
