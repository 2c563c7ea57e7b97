"""Starting the processes of a run, on one machine or by Slurm on several, and passing signals on to them."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import IO

from campfire.core.errors import ConfigError
from campfire.training.network import interface_towards
from campfire.training.options import EXIT_RESUMABLE

SECONDS_TO_STOP = 600.0
"""Time for processes to write a checkpoint after a signal."""
SECONDS_AFTER_FAILURE = 5.0
PR_SET_PDEATHSIG = 1
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What Snakemake too sets for a job's threads."""
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
"""Loaded before any fork: a child must not wait for the loader's lock, which a thread of ours may hold just then."""


def _end_with_parent() -> None:
    """Have the kernel send SIGTERM when the launcher dies, so that no process is orphaned (Linux)."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pass_on(lines: IO[bytes], tell: Callable[[str], None]) -> None:
    """Pass every output line of a process to `tell` until it closes its output."""
    for line in lines:
        if text := line.decode(errors="replace").rstrip():
            tell(text)


def start(
    command: Sequence[str], processes: int, nodes: int = 1, node: int = 0, host: str = "127.0.0.1", port: int = 0,
    tell: Callable[[str], None] | None = None, threads: int = 0,
) -> int:  # fmt: skip
    """Run `command` once per process of this machine and return the exit code of the run.

    Sets the environment of torchrun's static rendezvous (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), and
    additionally forwards SIGINT, SIGTERM and SIGUSR1 to every process, gives them time to write a checkpoint and
    returns EXIT_RESUMABLE when they did. When one process fails, the others are terminated.
    `host` and `port` are those of node 0 when there are several nodes. `tell` receives the processes' output line by
    line. `threads` of each process compute on a CPU; 0 leaves that to the environment.
    """
    if nodes > 1 and not port:
        raise ConfigError("several nodes need the port on which node 0 listens (--port)")
    port = port or free_port()
    # Threads that spin while they wait take the cores from those that compute:
    # on a machine with other work a training step took three to five times as long (measured on two cores).
    common = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    if threads:
        # For the libraries to read as they are loaded, as they do in a job with so many threads.
        common |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    interface = interface_towards(host, port) if nodes > 1 else ""
    if interface:
        # Node addresses may stand for a loopback or management interface (see `interface_towards`).
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            common[name] = os.environ.get(name, interface)
    # Each process compiles with its own workers, by default one per core, which would oversubscribe the cores.
    share = str(max(1, len(os.sched_getaffinity(0)) // processes))
    common["TORCHINDUCTOR_COMPILE_THREADS"] = os.environ.get("TORCHINDUCTOR_COMPILE_THREADS", share)
    places = [
        {
            "RANK": node * processes + local,
            "LOCAL_RANK": local,
            "LOCAL_WORLD_SIZE": processes,
            "WORLD_SIZE": nodes * processes,
            "MASTER_ADDR": host,
            "MASTER_PORT": port,
        }
        for local in range(processes)
    ]
    environments = [{**common, **{name: str(value) for name, value in place.items()}} for place in places]
    return _run([(command, environment) for environment in environments], tell)


def start_by_srun(
    command: Sequence[str], processes: int, nodes: int, threads: int, tell: Callable[[str], None] | None = None
) -> int:
    """Inside a Slurm job: run `command` on each of its nodes, which starts `processes` there; the run's exit code.

    `command` is this package's, which derives its node number from srun's task number. Node 0 is this one, on
    which the batch step runs. Slurm's signals to the job's steps reach every process; those sent here are forwarded to
    srun.
    """
    place = ["--nodes", str(nodes), "--node", "slurm", "--host", socket.gethostname(), "--port", str(free_port())]
    # When one node fails, the others must not hold their GPUs until a collective call times out.
    srun = ["srun", f"--ntasks={nodes}", f"--cpus-per-task={threads}", "--wait=120"]
    return _run([([*srun, *command, "--processes", str(processes), *place], {})], tell)


def requeue_job() -> bool:
    """Requeue the current Slurm job; False outside a job that Snakemake submitted.

    A job that is being cancelled is not requeued.
    """
    number = os.environ.get("SLURM_JOB_ID")
    if not number or shutil.which("scontrol") is None:
        return False
    query = ["squeue", "--noheader", f"--jobs={number}", "--format=%T|%k"]
    state, _, comment = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip().partition("|")
    if state != "RUNNING" or not comment.startswith("rule_"):
        return False
    return subprocess.run(["scontrol", "requeue", number], capture_output=True, check=False).returncode == 0


def _run(commands: Sequence[tuple[Sequence[str], Mapping[str, str]]], tell: Callable[[str], None] | None = None) -> int:
    """Run commands in parallel, each with its additions to the environment, and forward signals to them."""
    children: list[subprocess.Popen[bytes]] = []
    received: list[int] = []
    readers: list[threading.Thread] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    here = threading.current_thread() is threading.main_thread()  # elsewhere Python sets no handlers
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1) if here else ()
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        for command, additions in commands:
            environment = {**os.environ, **additions}
            output = subprocess.PIPE if tell else None
            joined = subprocess.STDOUT if tell else None
            child = subprocess.Popen(
                command,
                env=environment,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 (one system call, which takes no lock)
                stdout=output,
                stderr=joined,
            )
            children.append(child)
            if tell and child.stdout:
                readers.append(threading.Thread(target=pass_on, args=(child.stdout, tell), daemon=True))
                readers[-1].start()
        return _wait(children, received)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
        for child in children:
            child.wait()
        for reader in readers:
            reader.join(SECONDS_AFTER_FAILURE)
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(children: list[subprocess.Popen[bytes]], received: list[int]) -> int:
    """Wait for all; a failure terminates the rest at once, an interruption gives them time to finish."""
    deadline: float | None = None
    ended: list[subprocess.Popen[bytes]] = []
    while True:
        codes = [child.poll() for child in children]
        if all(code is not None for code in codes):
            break
        if any(code not in (None, 0, EXIT_RESUMABLE) for code in codes):
            deadline = min(deadline or float("inf"), time.monotonic() + SECONDS_AFTER_FAILURE)
        elif received and deadline is None:
            deadline = time.monotonic() + SECONDS_TO_STOP
        if deadline is not None and time.monotonic() > deadline:
            for child in children:
                if child.poll() is None and child not in ended:
                    child.kill()
                    ended.append(child)
        time.sleep(0.05)
    # Processes terminated here failed because of another; if all were, they did not stop in time.
    own = [code for child, code in zip(children, codes, strict=True) if child not in ended] or codes
    bad = [int(code) for code in own if code not in (None, 0, EXIT_RESUMABLE)]
    if bad:
        # A signal (reported as in shells) comes first: the others failed because that process was gone.
        return 128 - min(bad) if min(bad) < 0 else bad[0]
    return EXIT_RESUMABLE if EXIT_RESUMABLE in codes or ended else 0


def this_module(*arguments: str) -> list[str]:
    """The command that runs this package with the same interpreter."""
    return [sys.executable, "-m", "campfire.training", *arguments]
