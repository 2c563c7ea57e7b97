"""Errors of the operating system on files that a user named: one line with the path and the remedy."""

import errno
import os
from pathlib import Path

import pytest

from campfire.core.errors import OS_REMEDIES, DataError, explain_os_error, in_one_line
from campfire.core.files import atomic_path, write_text


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: root / ("a" * 300), "name is too long"),
        (lambda root: root / "file" / "x.txt", "is a file, not a folder"),
        (lambda root: root / "folder", "it is a folder, not a file"),
        (lambda root: Path("/proc/none/x.txt"), "correct the path"),
    ],
)
def test_a_place_that_cannot_be_written_is_named_with_the_remedy(
    tmp_path: Path, make: "object", words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    target = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(DataError, match=words) as caught:
        write_text(target, "text")
    assert str(caught.value).startswith(str(target)) and "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.partial*"))


def test_other_files_errors_pass_through_the_writer(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out.txt"):
        (tmp_path / "other.txt").read_text()


@pytest.mark.parametrize("number", OS_REMEDIES)
def test_a_command_ends_with_one_line(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    @in_one_line
    def main() -> int:
        raise OSError(number, os.strerror(number), "/data/plate")

    assert main() == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: /data/plate: {os.strerror(number)}; ") and told.count("\n") == 1


def test_errors_that_are_not_about_files_keep_their_traceback() -> None:
    assert explain_os_error(OSError(errno.ECHILD, "no child")) == ""
    assert explain_os_error(FileNotFoundError(errno.ENOENT, "gone")) == ""

    @in_one_line
    def main() -> int:
        raise OSError("no number")

    with pytest.raises(OSError, match="no number"):
        main()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_write_protected_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="you have no right"):
        write_text(tmp_path / "x", "text")
