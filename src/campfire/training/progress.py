"""Progress of a pretraining run: JSON lines for programs, a live line for people, a table of epochs."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from campfire.core.text import duration

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


class RunLog:
    """Writes one JSON object per line, and shows progress: a live line on a terminal, else log lines."""

    def __init__(self, path: Path | None) -> None:
        self.handle = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.handle = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)
        self.terminal = sys.stderr.isatty()
        self.last = 0.0
        self.open_line = False

    def record(self, event: str, **values: Any) -> None:
        """Append a line to the JSON log."""
        if self.handle is not None:
            self.handle.write(json.dumps({"time": round(time.time(), 3), "event": event, **values}) + "\n")
            self.handle.flush()

    def progress(self, values: Mapping[str, Any]) -> None:
        """Show where the run is; `values` as given to `record("step", ...)`."""
        if self.handle is None:
            return
        text = (
            f"epoch {values['epoch']}/{values['epochs']}  step {values['step']}/{values['steps']}  "
            f"loss {values['loss']:.4f}  lr {values['lr']:.2e}  {values['tiles_per_s']:,.0f} tiles/s"
        )
        if values.get("mfu"):
            text += f"  MFU {100 * values['mfu']:.0f} %"
        if values.get("seconds_left") is not None:
            text += f"  {duration(values['seconds_left'])} left"
        if self.terminal:
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()
            self.open_line = True
        elif time.monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self.last = time.monotonic()
            log.info("%s", text)

    def say(self, message: str, *values: Any, level: int = logging.INFO) -> None:
        """Print a permanent line."""
        if self.open_line:
            sys.stderr.write("\n")
            self.open_line = False
        if self.handle is not None:
            log.log(level, message, *values)

    def close(self) -> None:
        """Finish the live line and close the file."""
        if self.open_line:
            sys.stderr.write("\n")
        if self.handle is not None:
            self.handle.close()
            self.handle = None
