"""The three presets key by key: what config.yaml (the released code), paper.yaml and strict.yaml set differently.

`python tools/presets.py` prints the table of docs/decisions.md; `--write` puts it there.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from campfire.core.text import markdown_table
from campfire.core.yaml import merge, read_yaml

ROOT = Path(__file__).resolve().parents[1]
DOC = ROOT / "docs" / "decisions.md"
BEGIN, END = "<!-- presets: written by tools/presets.py -->", "<!-- end of presets -->"
PRESETS = {"config.yaml": (), "paper.yaml": ("paper.yaml",), "strict.yaml": ("strict.yaml",)}


def leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything in a config that is not a mapping."""
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{name}.")
        else:
            yield name, value


def presets() -> dict[str, dict[str, Any]]:
    """Each preset's keys and values, laid over config.yaml."""
    base = read_yaml(ROOT / "config" / "config.yaml")
    found = {}
    for name, layers in PRESETS.items():
        whole = base
        for layer in layers:
            whole = merge(whole, read_yaml(ROOT / "config" / layer))
        found[name] = dict(leaves(whole))
    return found


def to_markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The keys in which the presets differ; a dash where a preset leaves a key at its default."""
    keys = list(dict.fromkeys(key for values in found.values() for key in values))
    differing = [key for key in keys if len({str(values.get(key)) for values in found.values()}) > 1]
    cells = ([f"`{values[key]}`" if key in values else "-" for values in found.values()] for key in differing)
    rows = [[f"`{key}`", *line] for key, line in zip(differing, cells, strict=True)]
    return markdown_table(["key", *(f"`{name}`" for name in found)], rows)


def with_table(text: str) -> str:
    """The document with the current table between its marks."""
    block = f"{BEGIN}\n{to_markdown(presets())}\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, text, flags=re.DOTALL)


def main() -> int:
    """Print the table, or write it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/decisions.md")
    if parser.parse_args().write:
        DOC.write_text(with_table(DOC.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(to_markdown(presets()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
