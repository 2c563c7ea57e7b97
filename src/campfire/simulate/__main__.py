"""Simulate a screen from the shell: campfire simulate OPTIONS.yaml FOLDER."""

import argparse
import logging
import sys
from pathlib import Path

from campfire.core.errors import ConfigError, in_one_line
from campfire.core.yaml import read_yaml
from campfire.simulate.options import ScreenOptions
from campfire.simulate.screen import write_screen


def read_options(path: Path) -> ScreenOptions:
    """ScreenOptions from a YAML mapping of its fields; ConfigError names what is wrong in the file."""
    values = read_yaml(path) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: write one `name: value` per line")
    try:
        return ScreenOptions(**values)
    except ConfigError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


@in_one_line
def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="campfire simulate", description="Simulate a JUMP-like screen.")
    parser.add_argument("options", type=Path, help="YAML file of campfire.simulate.ScreenOptions")
    parser.add_argument("root", type=Path, help="folder to write into")
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write_screen(parsed.root, read_options(parsed.options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
