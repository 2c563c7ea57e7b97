"""Simulate a screen from the shell: campfire simulate OPTIONS.yaml FOLDER."""

import argparse
import dataclasses
import logging
import sys
from pathlib import Path

import yaml

from campfire.core.errors import ConfigError, in_one_line
from campfire.simulate.options import ScreenOptions
from campfire.simulate.screen import write_screen


def read_options(path: Path) -> ScreenOptions:
    """ScreenOptions from a YAML mapping of its fields; ConfigError names what is wrong in the file."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not readable as YAML ({error})") from error
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: write one `name: value` a line")
    known = {field.name: field.type for field in dataclasses.fields(ScreenOptions)}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"{path}: unknown option {name}; the options are {', '.join(known)}")
        kind = known[name]
        fits = isinstance(value, (int, float)) if kind is float else isinstance(value, kind)  # type: ignore[arg-type]
        if not fits or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(f"{path}: {name} is {value!r}; give a value of type {getattr(kind, '__name__', kind)}")
    return ScreenOptions(**given)


@in_one_line
def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="campfire simulate", description="Simulate a JUMP-like screen.")
    parser.add_argument("options", type=Path, help="YAML file of campfire.simulate.ScreenOptions")
    parser.add_argument("root", type=Path, help="folder to write into")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write_screen(given.root, read_options(given.options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
