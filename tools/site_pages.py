"""Pages of the documentation site that are written elsewhere or made from code; a hook of mkdocs (`make site`).

README, CONTRIBUTING, CHANGELOG and config/README.md become pages with their links adapted. The commands come from
their `--help`, the Python API from the public names of `campfire`.
"""

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

import campfire
from campfire import cli

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "config/README.md": "config.md",
}
"""Files outside docs/ and their page."""
API_NAMES = "`make site` adds"
"""What begins the sentence of docs/api.md in whose place the site has the public names."""
WIDTH = "100"
"""Characters of a line of help."""


def adapted(text: str) -> str:
    """A file of the repository's root as a page of docs/: its links lead to pages."""
    text = re.sub(r"\]\((?:\.\./)*docs/", "](", text)
    for name, page in PAGES.items():
        text = text.replace(f"]({name}", f"]({page}").replace(f"](../{name}", f"]({page}")
    return text


def help_of(words: list[str]) -> str:
    """What a command prints for `--help`."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        cli.main([*words, "--help"])
    return printed.getvalue().strip()


def commands_page() -> str:
    """Every command of `campfire` with its help, and of those with sub-commands each."""
    os.environ["COLUMNS"] = WIDTH
    parts = ["# Commands", "", "```", cli.overview(), "```", ""]
    for name, command in cli.COMMANDS.items():
        text = help_of([name])
        parts += [f"## campfire {name}", "", f"{command.purpose[0].upper()}{command.purpose[1:]}.", ""]
        parts += ["```", text, "```", ""]
        if choices := re.search(r"\{([\w,-]+)\} \.\.\.", text):
            for choice in choices[1].split(","):
                parts += [f"### campfire {name} {choice}", "", "```", help_of([name, choice]), "```", ""]
    return "\n".join(parts)


def api_names() -> str:
    """The public names of `campfire` with what mkdocstrings makes of their docstrings."""
    parts = []
    for name in campfire.__all__:
        value = getattr(campfire, name)
        parts += [f"## campfire.{name}", "", f"::: {value.__module__}.{value.__qualname__}", "    options:"]
        parts += ["      show_root_heading: false", "      show_root_toc_entry: false", "      heading_level: 3", ""]
    return "\n".join(parts)


def on_files(files: Any, config: Any) -> Any:
    """Called by mkdocs with the files of docs/: adds the pages."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        text = adapted((REPOSITORY / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "CITATION.cff", abs_src_path=str(REPOSITORY / "CITATION.cff")))
    files.append(File.generated(config, "commands.md", content=commands_page()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Called by mkdocs for each page: links of docs/ to files outside of it lead to their pages."""
    text = adapted(markdown)
    return text.partition(API_NAMES)[0] + api_names() if page.file.src_uri == "api.md" else text
