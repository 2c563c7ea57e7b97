"""Every command that a doc shows is one that exists: program, targets, options and files of this project."""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from campfire import cli
from campfire.runs import command

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
OWN = ("bundle.tar", "mine", "results", "images", "/data")
"""What the reader brings or a run makes: names that begin like this need not be in the repository."""


class Shown(NamedTuple):
    """A command of a doc: where it stands and its words."""

    doc: str
    words: list[str]


def shown() -> Iterator[Shown]:
    for path in DOCS:
        for block in FENCE.findall(path.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                quoted = line.count('"') % 2 == 0 and line.count("'") % 2 == 0
                words = shlex.split(line, comments=True) if quoted else []
                if words and words[0].removeprefix(".venv/bin/") in ("make", "snakemake", "campfire", "python"):
                    yield Shown(path.relative_to(REPOSITORY).as_posix(), words)


COMMANDS = list(shown())


def of(program: str) -> list[object]:
    """The commands of a program, each named by its doc and its words."""
    chosen = [command for command in COMMANDS if command.words[0].removeprefix(".venv/bin/") == program]
    return [pytest.param(c.words[1:], id=f"{c.doc}: {' '.join(c.words[1:])[:60]}") for c in chosen]


def test_docs_show_commands() -> None:
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("words", of("make"))
def test_make_targets_exist(words: list[str]) -> None:
    """`make -n` plans the target with its variables and runs nothing."""
    done = subprocess.run(["make", "-n", *words], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0 or "There is no demo yet" in done.stdout + done.stderr, done.stderr


@pytest.mark.parametrize("words", of("campfire"))
def test_campfire_commands_take_these_arguments(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if words[0] in ("run", "plan") and any(word.startswith(OWN) for word in words):
        # These check that files exist, and a reader's own do not.
        assert command.parse(words[1:]).targets, "no target"
        return
    parsed: list[argparse.Namespace] = []
    real = argparse.ArgumentParser.parse_args

    def parse(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> argparse.Namespace:
        parsed.append(real(parser, arguments))
        raise SystemExit(0)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 0 and (parsed or "--help" in words or "--version" in words)


@pytest.mark.parametrize("words", of("snakemake"))
def test_snakemake_commands_parse_and_name_files_and_targets_that_exist(words: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    given = get_argument_parser(profiles=[]).parse_args(words)
    files = [word for word in words if word.endswith(".yaml") or word.startswith("profiles/")]
    for name in files:
        assert name.startswith(OWN) or (REPOSITORY / name).exists(), f"there is no {name}"
    rules = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "workflow").rglob("*.smk"))
    rules += (REPOSITORY / "workflow/Snakefile").read_text(encoding="utf-8")
    for target in given.targets:
        assert target.startswith("results/") or re.search(rf"^rule {target}:", rules, re.MULTILINE), target


@pytest.mark.parametrize("words", of("python"))
def test_scripts_exist_and_know_their_options(words: list[str]) -> None:
    assert words[0] != "-m" or words[1] in ("campfire", "snakemake"), "a module is run by a command of its own"
    if words[0] == "-m":
        return
    text = (REPOSITORY / words[0]).read_text(encoding="utf-8")
    options = [word.split("=")[0] for word in words[1:] if word.startswith("--")]
    helped = subprocess.run([sys.executable, words[0], "--help"], cwd=REPOSITORY, capture_output=True, text=True)
    missing = [option for option in options if option not in helped.stdout]
    assert helped.returncode == 0 and not missing, f"{words[0]} has no {missing}; {text[:80]}"


def test_python_snippets_compile_and_use_public_names() -> None:
    import campfire

    for path in DOCS:
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if "import campfire" not in block:
                continue
            compile(block, str(path), "exec")
            for name in set(re.findall(r"\bcampfire\.(\w+)\(", block)):
                assert name in campfire.__all__, f"{path.name}: campfire.{name}"
