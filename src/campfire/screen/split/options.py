"""Options of the split and what each protocol makes of those left open."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from campfire.core.columns import PROTOCOLS, ProtocolName
from campfire.core.errors import ConfigError
from campfire.screen.metadata import CONTROLS, UNTREATED

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
"""release: the authors' released code. paper: p_t of section 2.1. strict: the paper's p_t without the known leaks."""


@dataclass(frozen=True)
class SplitOptions:
    """How wells become train, val and test (paper section 2.1, figure 2.1).

    protocol: release (the authors' code), paper (p_t = 0.5) or strict (no leak of batches, plates or structures).
    seed: of the held-out compounds and of the evaluation plates' wells.
    held_out: number of compounds held out of training, drawn from the evaluation plates, controls excepted.
    held_out_compounds: these compounds instead of a draw.
    wells_train, wells_val: wells of each in-distribution compound, one a plate.
    wells_test: likewise for test, at most; null gives every remaining plate to test.
    min_wells_test: fewer test wells than this are too few.
    too_few: what becomes of a compound on too few plates: error, or unused (none of its wells has a role).
    compound_fraction: probability p_t that a well of a training plate is trained on; null: 0.6 release, 0.5 otherwise.
    compound_seed: of that draw (the release fixes it at 10 whatever the seed).
    controls: negative and positive controls; never held out.
    reference_wells: surplus wells of the first control, fetched on each in-distribution plate to normalise it by.
    untreated: id of wells without any treatment; never held out.
    drop_untreated: leave untreated wells out; null: only in strict.
    exclude_ood_batches: train on no plate whose batch has an OOD plate; null: only in strict.
    same_training_plates: one draw of train, val and test plates for all compounds; null: only in strict.
    exclude_same_structure: leave out compounds of the same structure as a held-out one; null: only in strict.
    """

    protocol: ProtocolName = "release"
    seed: int = 10
    held_out: int = 60
    held_out_compounds: Sequence[str] | None = None
    wells_train: int = 14
    wells_val: int = 2
    wells_test: int | None = 4
    min_wells_test: int = 1
    too_few: Literal["error", "unused"] = "error"
    compound_fraction: float | None = None
    compound_seed: int = 10
    controls: Sequence[str] = CONTROLS
    reference_wells: int = 0
    untreated: str = UNTREATED
    drop_untreated: bool | None = None
    exclude_ood_batches: bool | None = None
    same_training_plates: bool | None = None
    exclude_same_structure: bool | None = None

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ConfigError(f"split: unknown protocol {self.protocol!r}; use {', '.join(PROTOCOLS)}")
        if self.too_few not in ("error", "unused"):
            raise ConfigError(f"split: too_few is {self.too_few!r}; use error or unused")
        for name in ("seed", "compound_seed"):
            if not 0 <= getattr(self, name) < 2**32:
                raise ConfigError(f"split: {name} is {getattr(self, name)}; give a number from 0 to 4294967295")
        for name in ("held_out", "wells_val", "min_wells_test", "reference_wells"):
            if getattr(self, name) < 0:
                raise ConfigError(f"split: {name} is {getattr(self, name)}; give 0 or more")
        if self.wells_train < 1:
            raise ConfigError(f"split: wells_train is {self.wells_train}; give 1 or more")
        if self.wells_test is not None and self.wells_test < self.min_wells_test:
            raise ConfigError(f"split: wells_test {self.wells_test} is below min_wells_test {self.min_wells_test}")
        if self.compound_fraction is not None and not 0 <= self.compound_fraction <= 1:
            raise ConfigError(f"split: compound_fraction is {self.compound_fraction}; give a number from 0 to 1")
        for name in ("controls", "held_out_compounds"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ConfigError(f"split: {name} is a text; give a list of compound ids")
            if value is not None:
                if len(set(value)) != len(value):
                    raise ConfigError(f"split: {name} names a compound twice; remove one")
                object.__setattr__(self, name, tuple(value))
        both = sorted(set(self.held_out_compounds or ()) & set(self.controls))
        if both:
            raise ConfigError(f"split: {', '.join(both)} is both held out and a control; remove it from one list")

    def setting(self, name: str) -> Any:
        """An option that may be left open: its value, or what the protocol makes of null."""
        value = getattr(self, name)
        return PROTOCOL_DEFAULTS[self.protocol][name] if value is None else value

    def resolved(self) -> dict[str, Any]:
        """Every option as it is used, as plain JSON values."""
        values = asdict(self)
        values.update({name: self.setting(name) for name in PROTOCOL_DEFAULTS[self.protocol]})
        return {field.name: _plain(values[field.name]) for field in fields(self)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
