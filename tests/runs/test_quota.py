"""What a quota still allows, from the answers of `lfs` and `quota` as these print them."""

import os
from pathlib import Path

import pytest

from campfire.runs import quota
from campfire.runs.quota import quota_left

LUSTRE = """     /lustre 4000000000  0 6000000000 - 1234 0 0 -
"""
LUSTRE_GROUP = """     /lustre 5500000000* 5000000000 6000000000 6d 1234 0 0 -
"""
SYSTEM = """Disk quotas for user lab (uid 1000):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
server:/home 1000 0 0 0 10 0 0 0
server:/scratch/run 900000 1000000 1100000 0 10 0 0 0
"""


def command(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands that is all there is on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cat", "sleep"):
        (folder / name).symlink_to(Path("/bin") / name)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def printing(text: str) -> str:
    return f"cat <<'END'\n{text}END\n"


def test_without_a_quota_there_is_nothing_to_say(commands: Path, tmp_path: Path) -> None:
    assert quota_left(tmp_path / "not/made/yet") is None
    command(commands, "quota", "echo 'quota: no such service' >&2; exit 1\n")
    command(commands, "lfs", printing("     /lustre 4000 0 0 - 1 0 0 -\n"))
    assert quota_left(tmp_path) is None


def test_the_narrower_of_user_and_group_counts_on_lustre(commands: Path, tmp_path: Path) -> None:
    command(commands, "lfs", f'if [ "$3" = -u ]; then\necho "$4 $5" > {tmp_path}/asked\n{printing(LUSTRE)}fi\n')
    assert quota_left(tmp_path / "results") == 2_000_000_000 * 1024
    assert (tmp_path / "asked").read_text() == f"{os.getuid()} {tmp_path.resolve()}\n"
    both = f'if [ "$3" = -u ]; then\n{printing(LUSTRE)}else\n{printing(LUSTRE_GROUP)}fi\n'
    command(commands, "lfs", both)
    assert quota_left(tmp_path) == 0, "the group is over its soft limit"


def test_the_line_of_the_folder_s_own_disk_counts(
    commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(commands, "quota", printing(SYSTEM))
    monkeypatch.setattr(quota, "_device", lambda place: "server:/scratch/run")
    assert quota_left(tmp_path) == 100_000 * 1024
    monkeypatch.setattr(quota, "_device", lambda place: "server:/home")
    assert quota_left(tmp_path) is None


def test_the_device_is_the_one_mounted_nearest() -> None:
    assert quota._device(Path("/proc")) == "proc"


def test_a_server_that_does_not_answer_is_not_waited_for(
    commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(commands, "quota", "exec sleep 60\n")
    monkeypatch.setattr(quota, "ASKED_S", 0.2)
    assert quota_left(tmp_path) is None
