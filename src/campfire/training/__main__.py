"""Train from a JSON file: `torchrun -m campfire.training --config run.json`, or with `--processes` without torchrun.

The file has `options` (PretrainOptions), `plates` (tile files), `wells`, `out` and `state`, and optionally
`code`, the digest of the training code, and `leave_out`. Exit codes: 0 done,
75 (EXIT_RESUMABLE) stopped by a signal after a checkpoint, 1 an error, explained in one line. torchrun turns
every code but 0 into 1; `--processes` keeps it.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from campfire.core.errors import CampfireError, ConfigError, InterruptedRunError
from campfire.core.memory import keep_freed_memory
from campfire.training import EXIT_RESUMABLE, UNKNOWN_CODE, PretrainOptions, train
from campfire.training.launcher import start, this_module

log = logging.getLogger(__name__)

EXIT_INTERRUPTED = 130
"""Exit code of shells for a command ended by Ctrl-C."""


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="campfire pretrain", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, help="JSON file of the run")
    parser.add_argument("--processes", type=int, default=0, help="start so many processes on this machine")
    parser.add_argument("--nodes", type=int, default=1, help="machines of the run (with --processes)")
    parser.add_argument("--node", default="0", help="number of this machine, from 0; `slurm`: srun's task number")
    parser.add_argument("--host", default="127.0.0.1", help="address of machine 0")
    parser.add_argument("--port", type=int, default=0, help="port on machine 0; needed for several machines")
    parser.add_argument("--plain", action="store_true", help="log lines without the time: whoever reads them adds it")
    return parser.parse_args(arguments)


def _read(path: Path) -> dict[str, object]:
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        missing = {"options", "plates", "wells", "out", "state"} - set(run)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: not a readable JSON file of a run ({error})") from error
    if missing:
        raise ConfigError(f"{path}: lacks {', '.join(sorted(missing))}")
    return run


def _options(run: Mapping[str, object], path: Path) -> PretrainOptions:
    try:
        return PretrainOptions(**run["options"])  # type: ignore[arg-type]
    except TypeError as error:
        raise ConfigError(f"{path}: options: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code of the run."""
    given = _arguments(arguments)
    rank = int(os.environ.get("RANK", "0"))
    level = logging.INFO if rank == 0 else logging.WARNING
    form = "%(message)s" if given.plain else "%(asctime)s %(message)s"
    logging.basicConfig(level=level, format=form, datefmt="%H:%M:%S", stream=sys.stderr)
    try:
        run = _read(given.config)
        if given.processes:
            plain = ["--plain"] if given.plain else []
            command = this_module("--config", str(given.config), *plain)
            node = int(os.environ["SLURM_PROCID"] if given.node == "slurm" else given.node)
            place = (given.nodes, node, given.host, given.port)
            return start(command, given.processes, *place, threads=_options(run, given.config).threads)
        keep_freed_memory()
        options = _options(run, given.config)
        code = str(run.get("code", UNKNOWN_CODE))
        places = (run["plates"], run["wells"], run["out"], run["state"])
        train(options, *places, code, run.get("leave_out"))  # type: ignore[arg-type]
    except InterruptedRunError as error:
        log.info("%s", error)
        return EXIT_RESUMABLE
    except CampfireError as error:
        log.error("%s", error)
        return 1
    except KeyboardInterrupt:
        log.info("interrupted before the training began; start again")
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
