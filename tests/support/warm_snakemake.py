"""Snakemake's command line in processes forked from one that has imported it: a plan takes a third of the time.

The command is parsed and run as `python -m snakemake` does it, from the first word to the exit code; only the imports
are shared. A test that is about the start itself (another interpreter, PYTHONPATH, signals) starts its own process.
"""

import atexit
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

IMPORTS = ("snakemake.cli", "campfire.runs.planning", "campfire.runs.guard", "campfire.runs.source_check", "boto3")
LIMIT = 600
"""Seconds after which a run is ended."""


def snakemake(
    arguments: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What Snakemake answers to these arguments in `folder`, with some variables changed in its environment."""
    words = [str(word) for word in arguments]
    with tempfile.TemporaryDirectory() as name:
        printed = [Path(name, "stdout"), Path(name, "stderr")]
        request = {"words": words, "folder": str(folder), "environment": {**os.environ, **(environment or {})}}
        code = _ask(request | {"printed": [str(path) for path in printed]})
        stdout, stderr = (path.read_text(encoding="utf-8") for path in printed)
    return subprocess.CompletedProcess([sys.executable, "-m", "snakemake", *words], code, stdout, stderr)


def _ask(request: Mapping[str, object]) -> int:
    server = _server()
    assert server.stdin and server.stdout
    print(json.dumps(request), file=server.stdin, flush=True)
    answer = server.stdout.readline()
    assert answer, "the process that imports Snakemake once has ended"
    return int(answer)


@cache
def _server() -> subprocess.Popen[str]:
    """One for each process of pytest, until that ends."""
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)
    return server


def _serve() -> dict[str, object] | None:
    """Fork for every line of standard input: in a child, what it is asked for; in the server, at the end, nothing."""
    for name in IMPORTS:
        __import__(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            request: dict[str, object] = json.loads(line)
            return request
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def _run(words: Sequence[str], folder: str, environment: Mapping[str, str], printed: Sequence[str]) -> None:
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    for descriptor, path in enumerate(printed, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), descriptor)
    signal.alarm(LIMIT)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv[1:] = words
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if (asked := _serve()) is not None:
        _run(**asked)  # type: ignore[arg-type]
