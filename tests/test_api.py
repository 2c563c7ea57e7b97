"""What `import campfire` and the command `campfire` offer."""

import argparse
import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

import campfire
from campfire import cli


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)


def test_importing_the_package_loads_no_library() -> None:
    loaded = run("-c", "import sys, campfire; dir(campfire); print(*sys.modules)").stdout.split()
    assert not {"torch", "numpy", "pandas", "timm", "sklearn", "matplotlib", "snakemake"} & set(loaded)


@pytest.mark.parametrize("name", campfire.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(campfire, name)
    assert inspect.getdoc(value), f"{name} has no docstring"
    if inspect.isfunction(value):
        parameters = inspect.signature(value).parameters.values()
        assert all(p.annotation is not inspect.Parameter.empty for p in parameters), f"{name} is not typed"


def test_editors_and_the_lazy_map_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(campfire))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in guarded.body if isinstance(node, ast.ImportFrom)]
    typed = {alias.asname or alias.name: (node.module, alias.name) for node in imports for alias in node.names}
    assert typed == campfire._HOME
    assert set(campfire.__all__) == set(campfire._HOME)
    assert dir(campfire) == sorted([*campfire.__all__, "__version__"])


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match="open_plate"):
        _ = campfire.open_plates


def test_the_overview_lists_every_command() -> None:
    result = run("-m", "campfire", "--help")
    assert result.returncode == 0
    assert all(f"  {name} " in result.stdout for name in cli.COMMANDS)


def parsers(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its sub-commands."""
    yield top
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


@pytest.mark.parametrize("name", ["run", "plan"])
def test_what_becomes_snakemake_says_so(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("help must start nothing"))
    assert cli.main([name, "--help"]) == 0
    assert f"usage: campfire {name}" in (told := capsys.readouterr().out) and "option of snakemake" in told


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name not in ("run", "plan")])
def test_every_command_describes_all_of_its_arguments(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        asked.append(parser)
        raise SystemExit(0)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(SystemExit):
        cli.main([name])
    assert asked[0].prog == f"campfire {name}" and asked[0].description
    bare = [action.dest for parser in parsers(asked[0]) for action in parser._actions if not action.help]
    assert not [dest for dest in bare if dest != "command"], f"without a description: {bare}"


def test_an_unknown_command_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["arange"]) == 2
    assert "did you mean `arrange`?" in capsys.readouterr().err
