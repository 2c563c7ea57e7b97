"""Hand the results of a finished run on: `campfire export anndata results/demo mine/anndata`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from campfire.core.errors import in_one_line
from campfire.export.finished import Finished, listed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="campfire export", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    purposes = {
        "anndata": "embeddings and well profiles as AnnData (.h5ad or .zarr)",
        "model": "a pretrained model with config.json and a model card, for a model hub",
    }
    for kind, purpose in purposes.items():
        command = kinds.add_parser(kind, help=purpose, description=purpose)
        command.add_argument("results", type=Path, help="results folder of a finished run, e.g. results/demo")
        command.add_argument("out", type=Path, help="folder to write; it must be new or empty")
    command = kinds.choices["anndata"]
    command.add_argument("--encoder", default="", help="only this encoder (default: all that the run evaluates)")
    command.add_argument("--channels", default="", help="only this channel set (default: all)")
    command.add_argument("--format", default="h5ad", choices=("h5ad", "zarr"), help="default: %(default)s")
    command = kinds.choices["model"]
    command.add_argument("--licence", required=True, help="SPDX name of the licence of the weights, e.g. cc-by-4.0")
    command.add_argument("--run", default="", help="pretraining run (default: the only one)")
    command.add_argument("--name", default="", help="name of the model in its card (default: that of the run)")
    return parser


def _write(options: argparse.Namespace) -> list[Path]:
    run = Finished.read(options.results)
    if options.kind == "anndata":
        from campfire.export import annotated

        return annotated.export(run, options.out, options.encoder, options.channels, options.format)
    from campfire.export import model_folder

    return model_folder.export(run, options.out, options.licence, options.run, options.name)


@in_one_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 written, 1 an error that the message explains."""
    options = _parser().parse_args(arguments)
    print(listed(_write(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
