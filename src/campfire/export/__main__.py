"""Hand the results of a finished run on: `campfire export anndata results/demo mine/anndata`."""

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from campfire.core.errors import in_one_line
from campfire.export.finished import Finished, listed
from campfire.export.people import OWN, Citation

PURPOSES = {
    "anndata": "embeddings and well profiles as AnnData (.h5ad or .zarr)",
    "model": "a pretrained model with config.json and a model card, for a model hub",
    "gallery": "embeddings and profiles in the Cell Painting Gallery's layout (workspace_dl)",
    "crate": "results, inputs by checksum, software and people as an RO-Crate, with .zenodo.json",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="campfire export", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True, help="what to make or check")
    for kind, purpose in PURPOSES.items():
        command = kinds.add_parser(kind, help=purpose, description=purpose)
        command.add_argument("results", type=Path, help="results folder of a finished run, e.g. results/demo")
        command.add_argument("out", type=Path, help="folder to write; it must be new or empty")
        if kind in ("anndata", "gallery"):
            command.add_argument("--encoder", default="", help="only this encoder (default: all that are evaluated)")
            command.add_argument("--channels", default="", help="only this channel set (default: all)")
        else:
            command.add_argument("--licence", required=True, help="SPDX name of the licence, e.g. CC-BY-4.0")
    kinds.choices["anndata"].add_argument("--format", default="h5ad", choices=("h5ad", "zarr"), help="default: h5ad")
    kinds.choices["model"].add_argument("--run", default="", help="pretraining run (default: the only one)")
    kinds.choices["model"].add_argument("--name", default="", help="name in the card (default: that of the run)")
    kinds.choices["gallery"].add_argument(
        "--dataset", required=True, help="the data that the network was trained on, a part of the model's name: jump"
    )
    crate = kinds.choices["crate"]
    crate.add_argument("--citation", type=Path, default=OWN, help="CITATION.cff with the authors (default: campfire's)")
    crate.add_argument("--published", type=datetime.date.fromisoformat, help="date, YYYY-MM-DD (default: today)")
    command = kinds.add_parser("check", help="compare an RO-Crate with its metadata and checksums")
    command.add_argument("crate", type=Path, help="folder with ro-crate-metadata.json")
    return parser


def _write(options: argparse.Namespace) -> list[Path]:
    """Write one export and return what to look at."""
    run = Finished.read(options.results)
    if options.kind == "anndata":
        from campfire.export import annotated

        return annotated.export(run, options.out, options.encoder, options.channels, options.format)
    if options.kind == "model":
        from campfire.export import model_folder

        return model_folder.export(run, options.out, options.licence, options.run, options.name)
    if options.kind == "gallery":
        from campfire.export import gallery

        return gallery.export(run, options.out, options.dataset, options.encoder, options.channels)
    from campfire.export import crate

    published = options.published or datetime.datetime.now(datetime.UTC).date()
    return crate.export(run, options.out, options.licence, Citation.read(options.citation), published.isoformat())


@in_one_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 written, 1 an error that the message explains."""
    options = _parser().parse_args(arguments)
    if options.kind == "check":
        from campfire.export.crate import check

        print(f"{options.crate}: {check(options.crate)} files as in its metadata")
        return 0
    print(listed(_write(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
