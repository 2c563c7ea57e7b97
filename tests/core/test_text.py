"""Sizes, times, lists and tables in messages and documents."""

import pytest

from campfire.core.text import duration, markdown_table, size, some, work_hours


@pytest.mark.parametrize(("hours", "words"), [(0, "0 s"), (0.001, "4 s"), (0.5, "30 min"), (1920, "1,920.0 h")])
def test_hours(hours: float, words: str) -> None:
    assert work_hours(hours) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (999, "999 B"), (4.5e9, "4.5 GB"), (2e15, "2000.0 TB")])
def test_bytes(count: float, words: str) -> None:
    assert size(count) == words


def test_long_lists_are_cut() -> None:
    assert some(["a", "b"], 2) == "a, b"
    assert some(["a", "b", "c", "d"], 2) == "a, b and 2 more"


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (12, "12 s"), (250, "4 min 10 s"), (7500, "2 h 05 min"), (273_600, "3 d 4 h")]
)
def test_times_by_the_clock(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_markdown_tables() -> None:
    rows = [["plate|1", 3], ["B", 20]]
    assert markdown_table(["name", "n"], rows, right=[1]) == ("| name | n |\n|---|---:|\n| plate\\|1 | 3 |\n| B | 20 |")
    assert markdown_table(["name", "n"], rows, right=[1], padded=True).splitlines() == [
        "| name     | n   |",
        "| :------- | --: |",
        "| plate\\|1 | 3   |",
        "| B        | 20  |",
    ]
