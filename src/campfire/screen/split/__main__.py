"""`campfire split`: assign the wells of a sheet and print how many each quadrant has."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from campfire.core.errors import in_one_line
from campfire.screen.metadata import find_well_table, read_sheet, read_structures, read_wells
from campfire.screen.split import PROTOCOLS, SplitOptions, make_split, wells_per_quadrant, write_split

DEFAULTS = SplitOptions()


@in_one_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 written, 1 an error that the message explains."""
    parser = argparse.ArgumentParser(prog="campfire split", description=__doc__)
    parser.add_argument("--plates", required=True, type=Path, help="sheet of plates, e.g. config/plates.tsv")
    parser.add_argument(
        "--metadata",
        required=True,
        type=Path,
        help="folder with well.csv.gz (and compound.csv.gz, for strict), or the well table",
    )
    parser.add_argument("--out", required=True, type=Path, help="parquet file to write")
    parser.add_argument(
        "--protocol", default="release", choices=PROTOCOLS, help="rules of the split (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=DEFAULTS.seed, help="seed of all draws (default: %(default)s)")
    parser.add_argument("--held-out", type=int, default=DEFAULTS.held_out, help="number of held-out compounds")
    parser.add_argument("--wells-train", type=int, default=DEFAULTS.wells_train, help="training wells of a compound")
    parser.add_argument("--wells-val", type=int, default=DEFAULTS.wells_val, help="validation wells of a compound")
    parser.add_argument("--wells-test", type=int, default=DEFAULTS.wells_test, help="test wells of a compound")
    parser.add_argument("--compound-fraction", type=float, help="probability that a training-plate well is used")
    parser.add_argument(
        "--too-few",
        default=DEFAULTS.too_few,
        choices=("error", "unused"),
        help="compounds with too few wells: stop, or leave out",
    )
    parser.add_argument("--controls", nargs="+", metavar="ID", help="control compounds (default: JUMP's nine)")
    parsed = parser.parse_args(arguments)
    options = SplitOptions(
        protocol=parsed.protocol,
        seed=parsed.seed,
        held_out=parsed.held_out,
        wells_train=parsed.wells_train,
        wells_val=parsed.wells_val,
        wells_test=parsed.wells_test,
        compound_fraction=parsed.compound_fraction,
        too_few=parsed.too_few,
        controls=parsed.controls or DEFAULTS.controls,
    )
    sheet = read_sheet(parsed.plates)
    compounds = parsed.metadata / "compound.csv.gz"
    structures = read_structures(compounds) if compounds.is_file() else None
    split = make_split(sheet, read_wells(find_well_table(parsed.metadata), sheet), options, structures)
    write_split(parsed.out, split)
    print(wells_per_quadrant(split.wells).to_string(index=False))
    print(f"\n{parsed.protocol}: {len(split.wells)} wells of {len(sheet)} plates -> {parsed.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
