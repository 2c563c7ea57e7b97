"""The command `campfire`: every task outside a workflow run."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from campfire.core.memory import collect_seldom


class Command(NamedTuple):
    """A sub-command: the module whose function (`main` where none is named) runs it, and its purpose in one line."""

    module: str
    purpose: str


COMMANDS = {
    "run": Command("campfire.runs.command:run", "check a command for Snakemake, then run the workflow with it"),
    "plan": Command("campfire.runs.command:plan", "print the jobs that a command would run and what they cost"),
    "status": Command("campfire.runs.status", "print how far a run is, while it runs: jobs, rates, disk, time left"),
    "arrange": Command("campfire.images.gallery.arrange", "lay out your own images as the workflow reads them"),
    "split": Command("campfire.screen.split.__main__", "assign the wells of a sheet of plates to training and test"),
    "pretrain": Command("campfire.training.__main__", "pretrain a masked autoencoder, on one machine or under Slurm"),
    "summary": Command("campfire.report.summary", "print the main accuracies of finished results"),
    "ablation": Command("campfire.runs.study_standing", "print budget, progress and ranking of an ablation study"),
    "bundle": Command("campfire.runs.bundle", "check or unpack a bundle of cached embeddings"),
    "export": Command(
        "campfire.export.__main__", "hand results on: AnnData, a model folder, the gallery's layout, a crate"
    ),
    "options": Command("campfire.runs.config.table", "print the table of all options of the config"),
    "verify": Command("campfire.runs.verify", "find results that were altered after they were made"),
    "mark-current": Command("campfire.runs.mark_current", "mark results that a change does not affect as current"),
    "scale": Command("campfire.runs.scale", "print what a run reads, writes and stores"),
    "orphans": Command("campfire.runs.slurm", "list or cancel Slurm jobs that a dead run left behind"),
    "simulate": Command("campfire.simulate.__main__", "simulate a JUMP-like screen"),
    "serve": Command("campfire.simulate.server", "run a command beside a local S3 server"),
}


def overview() -> str:
    """The text of `campfire --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.purpose}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: campfire COMMAND ...",
            "",
            "Out-of-distribution evaluations of channel-agnostic masked autoencoders in fluorescence microscopy.",
            "The workflow itself is run by Snakemake, which `run` starts; the other commands cover the work around it.",
            "",
            *lines,
            "",
            "`campfire COMMAND --help` lists the options of a command; `campfire --version` prints the version.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit code; 2 for a command that does not exist."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if given else 2
    if given[0] == "--version":
        from campfire import __version__

        print(__version__)
        return 0
    name, *rest = given
    if name not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else f"; available: {', '.join(COMMANDS)}"
        print(f"campfire: unknown command `{name}`{hint}", file=sys.stderr)
        return 2
    collect_seldom()
    module, _, function = COMMANDS[name].module.partition(":")
    code: int = getattr(import_module(module), function or "main")(rest)
    return code


if __name__ == "__main__":
    sys.exit(main())
