"""`campfire run` and `campfire plan`: check the words of a Snakemake command, say what is wrong, then run it.

Snakemake reads profiles, config files and `--config` before any code of a workflow, and answers a mistake there with a
traceback. Everything that these commands do not know is Snakemake's own.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import campfire
from campfire.core.errors import ConfigError, in_one_line
from campfire.core.memory import collect_seldom
from campfire.core.yaml import read_yaml

CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
PLAN = ["--dry-run", "--quiet", "rules", "progress", "host"]
LOCAL = Path("profiles/local")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; `snakemake --help` lists all options")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The words of a Snakemake command as Snakemake reads them; ConfigError for an option that it does not have."""
    from snakemake.cli import get_argument_parser

    parser = get_argument_parser(profiles=[])
    parser.error = _Parser.error.__get__(parser)
    arguments: argparse.Namespace = parser.parse_args(list(words))
    return arguments


def check(words: Sequence[str]) -> argparse.Namespace:
    """The parsed command; one ConfigError lists everything that is wrong with its files, values and targets."""
    arguments = parse(words)
    wrong = list(dict.fromkeys(_mistakes(arguments)))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return arguments


def _mistakes(arguments: argparse.Namespace) -> Iterator[str]:
    files = [str(path) for path in arguments.configfile or ()]
    for path in files:
        yield from _file_mistakes(path, files)
    values = list(arguments.config or ())
    for number, value in enumerate(values):
        rest = [] if arguments.targets else [str(other) for other in values[number:]]
        yield from _value_mistakes(str(value), rest)
    for profile in arguments.profile or ():
        yield from _profile_mistakes(str(profile))


def _file_mistakes(path: str, files: Sequence[str]) -> Iterator[str]:
    if not Path(path).exists():
        if Path(path).suffix in CONFIG_SUFFIXES:
            yield f"--configfile {path}: no such file{_near(path)}"
        else:
            yield _separated([other for other in files if not _is_config(other)], "--configfile")
    elif Path(path).is_dir():
        yield f"--configfile {path}: is a folder; name a file in it{_near(f'{path}/config.yaml')}"
    else:
        try:
            content = read_yaml(path)
        except ConfigError as error:
            yield str(error)
        else:
            if content is not None and not isinstance(content, dict):
                yield f"{path}: holds a {_kind(content)}; write keys and values, e.g. `results: results/mine`"
            elif not content:
                yield f"{path}: holds nothing; write keys and values, e.g. `results: results/mine`, or leave it out"


def _is_config(path: str) -> bool:
    return Path(path).exists() or Path(path).suffix in CONFIG_SUFFIXES


def _kind(content: Any) -> str:
    return "list" if isinstance(content, list) else f"single value ({str(content)[:40]!r})"


def _separated(targets: Iterable[str], option: str) -> str:
    named = " ".join(dict.fromkeys(targets))
    return f"{named}: counts as a value of {option}; put two dashes before the targets: ... -- {named}"


def _value_mistakes(value: str, rest: Sequence[str]) -> Iterator[str]:
    key, found, content = value.partition("=")
    if not found:
        targets = [other for other in rest if "=" not in other]
        yield (
            _separated(targets, "--config")
            if targets
            else f"--config {value}: has no value; write --config {value}=..."
        )
    elif not re.fullmatch(r"[A-Za-z_]\w*", key):
        *above, last = key.split(".")
        nested = f"{last}: {content}"
        for step in reversed(above[1:]):
            nested = f"{step}: {{{nested}}}"
        yield (
            f"--config {value}: {key!r} is no key of the config; write nested keys as "
            f"--config '{above[0] if above else 'key'}={{{nested}}}'"
        )


def _profile_mistakes(profile: str) -> Iterator[str]:
    path = Path(profile)
    if profile == "none" or path.is_file() or any((path / name).is_file() for name in ("config.yaml", "profile.yaml")):
        return
    folders = [Path.home() / ".config/snakemake" / profile, Path("/etc/xdg/snakemake") / profile]
    if not path.is_absolute() and any(folder.is_dir() for folder in folders):
        return
    known = sorted(str(found.parent) for found in Path("profiles").glob("*/config.yaml"))
    near = get_close_matches(profile, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none here'}"
    yield f"--profile {profile}: no such profile; {hint}"


def _near(path: str) -> str:
    """A hint at a file with a similar name in the same folder, or the folder that was looked in."""
    folder = Path(path).parent
    names = [found.name for found in folder.glob("*") if found.suffix in CONFIG_SUFFIXES] if folder.is_dir() else []
    near = get_close_matches(Path(path).name, names, n=1)
    return f"; did you mean {folder / near[0]}?" if near else f" (looked for in {folder.absolute()})"


def complete(words: Sequence[str], arguments: argparse.Namespace) -> list[str]:
    """Snakemake's words, with the project's Snakefile and profile where the command and this folder have none."""
    home = Path(campfire.__file__).parents[2]
    added: list[str] = []
    here = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
    if arguments.snakefile is None and not any(map(os.path.isfile, here)) and (home / "Snakefile").is_file():
        added += ["--snakefile", str(home / "Snakefile")]
    sized = arguments.cores is not None or arguments.jobs is not None or arguments.executor is not None
    if not (arguments.profile or os.environ.get("SNAKEMAKE_PROFILE") or sized):
        found = [folder for folder in (LOCAL, home / LOCAL) if folder.is_dir()]
        added += ["--profile", str(found[0])] if found else ["--cores", "all"]
    return [*added, *words]


def usable_caches() -> dict[str, str]:
    """Variables that move caches into the working folder where the user's own cannot be written; {} where it can.

    Snakemake, matplotlib and the model hub keep a cache below the home folder; Snakemake does not start without it.
    """
    if os.environ.get("XDG_CACHE_HOME"):
        return {}
    try:
        own = Path.home() / ".cache"
        own.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=own):
            return {}
    except (OSError, RuntimeError):
        cache = Path(".snakemake/cache").absolute()
        print(f"The home folder cannot be written; caches go to {cache}.", file=sys.stderr)
        return {"XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": str(cache / "matplotlib")}


def show_stages(arguments: argparse.Namespace) -> list[str]:
    """The option that shows one line per stage, unless the command says how to log, or nothing will run."""
    chosen = arguments.logger or arguments.quiet is not None or arguments.verbose or arguments.debug_dag
    idle = arguments.dryrun or arguments.unlock or arguments.touch
    installed = find_spec("snakemake_logger_plugin_campfire") is not None
    return ["--logger", "campfire"] if installed and not chosen and not idle else []


def snakemake(words: Sequence[str]) -> NoReturn:
    """Run Snakemake with these words in this process, which it ends."""
    from snakemake.cli import main

    sys.argv = ["snakemake", *words]
    main()
    raise SystemExit  # Snakemake exits itself


@in_one_line
def run(arguments: Sequence[str] | None = None) -> int:
    """Check a command, then run Snakemake with it, which ends the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(given):
        print(
            "usage: campfire run [--configfile FILE ...] [any option of snakemake] -- [TARGET ...]\n\n"
            "Checks the command, then runs `snakemake` with it, by default with profiles/local.\n"
            "Targets: all, split, tiles, pretrain, embeddings, probes, tables, figures, report, bundle; or files"
        )
        return 0
    os.environ.update(usable_caches())
    parsed = check(given)
    snakemake([*show_stages(parsed), *complete(given, parsed)])


@in_one_line
def plan(arguments: Sequence[str] | None = None) -> int:
    """Print the jobs that a command would run and what they cost; exit code 1 where it cannot be planned."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(given):
        print("usage: campfire plan [--configfile FILE ...] [any option of snakemake] -- [TARGET ...]")
        return 0
    os.environ.update(usable_caches())
    # Its output is cut below, and Snakemake ends its process, so another one checks the command and plans.
    command = [sys.executable, "-m", "campfire.runs.command", *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    text = done.stdout.splitlines()
    if done.returncode:
        print("\n".join(_errors(text)), file=sys.stderr)
        return 1
    starts = [n for n, line in enumerate(text) if re.match(r"stage +rule|Nothing to be done: ", line)]
    print("\n".join(text[starts[-1] :] if starts else text))
    return 0


def _with_plan(words: Sequence[str]) -> list[str]:
    """The words with the options of a plan; a second --config would replace the first, so theirs joins it."""
    words = list(words)
    options = words[: words.index("--")] if "--" in words else words
    names = [n for n, word in enumerate(options) if word in ("--config", "-C")]
    if names:
        words.insert(names[-1] + 1, "show_plan=True")
        return [*PLAN, *words]
    return [*PLAN, "--config", "show_plan=True", *(words if words[:1] and words[0].startswith("-") else ["--", *words])]


def _errors(lines: Sequence[str]) -> list[str]:
    """What of Snakemake's output says why it stopped, without places in its code."""
    starts = [n for n, line in enumerate(lines) if re.match(r"\w*(Error|Exception)\b", line)]
    if not starts:
        return list(lines)
    found = [line for line in lines[starts[0] :] if line and not line.startswith(("  File ", "Nothing to be done: "))]
    return found[1:] if len(found) > 1 and re.match(r"\w+ in file .*:$|\w+:$", found[0]) else found


@in_one_line
def _plan_here(given: Sequence[str]) -> int:
    """Check a command and print all that Snakemake says of its plan, in this process."""
    collect_seldom()
    parsed = check(given)
    snakemake(complete(_with_plan(given), parsed))


if __name__ == "__main__":
    sys.exit(_plan_here(sys.argv[1:]))
