"""How commands tell errors."""

import pytest

from campfire.core.errors import DataError, in_one_line


def test_a_command_reports_a_users_error_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @in_one_line
    def main(path: str) -> int:
        if path:
            raise DataError(f"{path}: no such table; make it")
        return 3

    assert main("") == 3
    assert main("a.csv") == 1
    assert capsys.readouterr() == ("", "error: a.csv: no such table; make it\n")


def test_other_errors_keep_their_traceback() -> None:
    @in_one_line
    def main() -> int:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        main()
