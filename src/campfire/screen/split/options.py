"""Options of the split and their defaults under each protocol."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from campfire.core.columns import ProtocolName
from campfire.core.options import Names, Options, Seed, option
from campfire.screen.metadata.jump import CONTROLS, UNTREATED

Compounds = Annotated[Names, AfterValidator(lambda names: tuple(name.strip() for name in names))]
"""Compounds as the tables of wells have them: without blanks at their ends."""

PROTOCOL_DEFAULTS: dict[str, dict[str, Any]] = {
    "release": {
        "compound_fraction": 0.6,
        "drop_untreated": False,
        "exclude_ood_batches": False,
        "same_training_plates": False,
        "exclude_same_structure": False,
    },
    "paper": {
        "compound_fraction": 0.5,
        "drop_untreated": False,
        "exclude_ood_batches": False,
        "same_training_plates": False,
        "exclude_same_structure": False,
    },
    "strict": {
        "compound_fraction": 0.5,
        "drop_untreated": True,
        "exclude_ood_batches": True,
        "same_training_plates": True,
        "exclude_same_structure": True,
    },
}
"""release: the authors' released code. paper: p_t of section 2.1. strict: the paper's p_t without known leakage."""


class SplitOptions(Options):
    """How wells become train, val and test (paper section 2.1, figure 2.1)."""

    section: ClassVar[str] = "split"

    protocol: ProtocolName = option(
        "release",
        "release (the authors' code), paper (p_t = 0.5) or strict (no leakage across batches, plates or structures)",
        source="docs/decisions.md",
    )
    seed: Seed = option(10, "seed of the held-out compounds and of the evaluation plates' wells", source="release")
    held_out: int = option(
        60,
        "compounds held out of training, drawn from the evaluation plates, controls excepted",
        source="paper 2.1",
        ge=0,
    )
    held_out_compounds: Compounds | None = option(None, "these compounds instead of a draw")
    wells_train: int = option(
        14, "training wells of each in-distribution compound, one per plate", source="paper 2.1", ge=1
    )
    wells_val: int = option(
        2, "validation wells of each in-distribution compound, one per plate", source="paper 2.1", ge=0
    )
    wells_test: int | None = option(
        4, "test wells likewise, at most; null gives every remaining plate to test", source="paper 2.1", ge=0
    )
    min_wells_test: int = option(1, "fewer test wells than this are too few", ge=0)
    too_few: Literal["error", "unused"] = option(
        "error", "treatment of a compound on too few plates: error, or unused (none of its wells has a role)"
    )
    compound_fraction: float | None = option(
        None,
        "probability p_t that a well of a training plate is trained on; null: 0.6 release, 0.5 otherwise",
        source="paper 2.1",
        ge=0,
        le=1,
    )
    compound_seed: Seed = option(
        10, "seed of that draw (the release fixes it at 10 whatever the seed)", source="release"
    )
    controls: Compounds = option(CONTROLS, "negative and positive controls; never held out", source="paper 2.1")
    negative_controls: Compounds | None = option(
        None, "which of the controls are negative; plates are normalised by all of these; null: the first control"
    )
    reference_wells: int = option(
        0,
        "surplus wells of the negative controls, fetched on each in-distribution plate to normalise it by",
        source="docs/decisions.md",
        ge=0,
    )
    untreated: str = option(UNTREATED, "id of wells without any treatment; never held out")
    ood_sources: Names = option(
        (), "sources of which all evaluation plates are out of distribution and no plate is trained on"
    )
    drop_untreated: bool | None = option(None, "leave untreated wells out; null: only in strict")
    exclude_ood_batches: bool | None = option(
        None, "train on no plate whose batch has an OOD plate; null: only in strict"
    )
    same_training_plates: bool | None = option(
        None, "one draw of train, val and test plates for all compounds; null: only in strict"
    )
    exclude_same_structure: bool | None = option(
        None, "leave out compounds of the same structure as a held-out one; null: only in strict"
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.wells_test is not None and self.wells_test < self.min_wells_test:
            yield "wells_test", f"{self.wells_test} is below min_wells_test ({self.min_wells_test})"
        strangers = [name for name in self.negative_controls or () if name not in self.controls]
        if strangers:
            yield "negative_controls", f"{', '.join(strangers)} is not among split.controls; add it there"
        if self.negative_controls is not None and not self.negative_controls:
            yield "negative_controls", "names none; name one of split.controls, or leave it null for the first"
        for name in ("controls", "held_out_compounds"):
            listed = getattr(self, name) or ()
            if len(set(listed)) != len(listed):
                twice = next(compound for compound in listed if list(listed).count(compound) > 1)
                yield name, f"names {twice} twice; remove one"
        both = sorted(set(self.held_out_compounds or ()) & set(self.controls))
        if both:
            yield "held_out_compounds", f"{', '.join(both)} is both held out and a control; remove it from one list"

    @property
    def negatives(self) -> tuple[str, ...]:
        """The negative controls."""
        return tuple(self.negative_controls or self.controls[:1])

    def setting(self, name: str) -> Any:
        """An option that may be null: its value, or the protocol's default for null."""
        value = getattr(self, name)
        return PROTOCOL_DEFAULTS[self.protocol][name] if value is None else value

    def resolved(self) -> dict[str, Any]:
        """Every option with defaults resolved, as plain JSON values."""
        values = self.model_dump(mode="json")
        values.update({name: self.setting(name) for name in PROTOCOL_DEFAULTS[self.protocol]})
        return values
