"""Files are whole or absent, and a state has one writer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from campfire.core.errors import CampfireError
from campfire.core.files import atomic_path, single_writer

HOLDER = """
import sys, time
from campfire.core.files import single_writer
with single_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "table.csv") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_the_second_writer_learns_who_the_first_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    state = tmp_path / "state"
    with (
        single_writer(state),
        pytest.raises(CampfireError, match=rf"state: another run .* process {os.getpid()}, Slurm job 17\)"),
        single_writer(state),
    ):
        pass
    with single_writer(state), single_writer(tmp_path / "other"):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(CampfireError, match=f"process {holder.pid}"), single_writer(tmp_path / "state"):
            pass
        holder.send_signal(signal.SIGKILL)
    with single_writer(tmp_path / "state"):
        pass


def test_weights_are_as_readable_as_other_files(tmp_path: Path) -> None:
    weights, text = tmp_path / "model.safetensors", tmp_path / "plain.txt"
    with atomic_path(weights) as partial:
        save_file({"a": np.zeros(2)}, partial)
    text.write_text("plain")
    assert weights.stat().st_mode == text.stat().st_mode
