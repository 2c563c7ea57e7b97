"""Warnings of a run about its channels."""

import logging
from pathlib import Path

import pytest

from campfire.training.progress import RunLog
from campfire.training.watch import ChannelWatch


def test_a_channel_without_contrast_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = ChannelWatch(RunLog(tmp_path / "log.jsonl"), ["DNA", "AGP"])
    with caplog.at_level(logging.WARNING):
        for epoch in (1, 2):
            assert watch.describe(epoch, {"masked_error_DNA": 0.5}) == ", masked error DNA 0.500"
    assert caplog.text.count("fewer than two validation tiles have any contrast in AGP") == 1
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert watch.describe(3, {"masked_error_DNA": 0.5, "masked_error_AGP": 0.6}).endswith("AGP 0.600")
        assert watch.describe(4, {}) == ""  # nothing masked, or no validation tile
    assert not caplog.records
