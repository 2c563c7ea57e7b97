"""`campfire run` and `campfire plan`: a mistake in the words of a command is one line, before Snakemake starts."""

import json
import subprocess
from pathlib import Path

import pytest

from campfire.core.errors import ConfigError
from campfire.core.yaml import read_yaml
from campfire.runs import command
from campfire.runs.config.places import repeated_keys


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("results: results/mine\n")
    for name in ("local", "slurm"):
        (tmp_path / "profiles" / name).mkdir(parents=True)
        (tmp_path / "profiles" / name / "config.yaml").write_text("cores: 1\n")
    return tmp_path


def mistake(*words: str) -> str:
    with pytest.raises(ConfigError) as error:
        command.check(words)
    return str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--configfile", "mine.yaml", "all"], "all: counts as a value of --configfile; put two dashes before"),
        (["--configfile", "mine.yaml", "split", "tables"], "... -- split tables"),
        (["--config", "redo=all", "tables"], "tables: counts as a value of --config; put two dashes"),
        (["--configfile", "mnie.yaml", "--", "all"], "--configfile mnie.yaml: no such file; did you mean mine.yaml?"),
        (["--configfile", "elsewhere/x.yml"], "--configfile elsewhere/x.yml: no such file (looked for in "),
        (["--configfile", "profiles", "--", "all"], "--configfile profiles: is a folder"),
        (["--config", "redo", "--", "all"], "--config redo: has no value; write --config redo=..."),
        (["--config", "probe.epochs=3"], "--config 'probe={epochs: 3}'"),
        (["--config", "pretrain.runs.campfire.epochs=3"], "--config 'pretrain={runs: {campfire: {epochs: 3}}}'"),
        (["--profile", "profiles/locl"], "--profile profiles/locl: no such profile; did you mean profiles/local?"),
        (["--confgfile", "mine.yaml"], "unrecognized arguments: --confgfile"),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(words: list[str], said: str) -> None:
    message = mistake(*words)
    assert said in message and "\n" not in message, message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("probe:\n  epochs: 3\n   folds: 2\n", "broken.yaml, line 3: not valid YAML: `folds: 2` ("),
        ("probe: [1,\n", "broken.yaml, line 2: not valid YAML:"),
        ("probe:\n\tepochs: 3\n", "line 2: not valid YAML: `epochs: 3`"),
        ("probe: {epochs: 3\nsplit: {}\n", "broken.yaml, line 2: not valid YAML:"),
        ('results: "results/mine\n', "broken.yaml, line 2: not valid YAML:"),
        ("- a\n- b\n", "broken.yaml: holds a list; write keys and values"),
        ("", "broken.yaml: holds nothing"),
        ("results\n", "broken.yaml: holds a single value ('results')"),
    ],
)
def test_broken_yaml_names_file_line_and_what(text: str, said: str, folder: Path) -> None:
    (folder / "broken.yaml").write_text(text)
    message = mistake("--configfile", "mine.yaml", "broken.yaml", "--", "all")
    assert said in message and "\n" not in message, message


def test_tabs_and_encodings_have_their_own_remedy(folder: Path) -> None:
    (folder / "tab.yaml").write_text("probe:\n\tepochs: 3\n")
    with pytest.raises(ConfigError, match="indent with blanks, not tabs"):
        read_yaml("tab.yaml")
    (folder / "latin.yaml").write_bytes("labels: {a: caf\xe9}\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml: not text in UTF-8"):
        read_yaml("latin.yaml")


def test_all_mistakes_come_at_once() -> None:
    message = mistake("--configfile", "no.yaml", "--config", "a.b=1", "--profile", "nowhere", "--", "all")
    assert len(message.splitlines()) == 3


def test_a_right_command_is_passed_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--configfile", "mine.yaml", "--config", "redo=all", "-n", "--", "tables"]
    arguments = command.check(words)
    assert command.complete(words, arguments)[-len(words) :] == words
    assert command.complete(words, arguments)[-len(words) - 2 : -len(words)] == ["--profile", "profiles/local"]
    started: list[list[str]] = []
    monkeypatch.setattr(command, "snakemake", started.append)
    command.run(words)
    assert started == [command.complete(words, arguments)]


@pytest.mark.parametrize("size", [["--cores", "2"], ["--profile", "profiles/slurm"], ["--executor", "slurm"]])
def test_the_default_profile_gives_way(size: list[str]) -> None:
    assert "profiles/local" not in command.complete(size, command.check(size))


def test_a_plan_keeps_the_values_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[list[str]] = []
    monkeypatch.setattr(command, "snakemake", planned.append)
    command._plan_here(["--configfile", "mine.yaml", "--config", "redo=all", "--", "tables"])
    command._plan_here(["tables"])
    parsed = [command.parse(words) for words in planned]
    assert [arguments.config for arguments in parsed] == [["show_plan=True", "redo=all"], ["show_plan=True"]]
    assert [list(arguments.targets) for arguments in parsed] == [["tables"], ["tables"]]
    assert all(arguments.dryrun for arguments in parsed)


def test_a_plan_prints_the_table_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given: list[list[str]] = []

    def answer(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        given.append(words)
        return subprocess.CompletedProcess(words, 0, "noise\nstage  rule  jobs\ntotal  1\n")

    monkeypatch.setattr(subprocess, "run", answer)
    assert command.plan(["--configfile", "mine.yaml", "--", "tables"]) == 0
    assert given[0][1:] == ["-m", "campfire.runs.command", "--configfile", "mine.yaml", "--", "tables"]
    assert capsys.readouterr().out == "stage  rule  jobs\ntotal  1\n"


def test_a_plan_passes_a_mistake_on(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(command.__file__).parents[2]))
    assert command.plan(["--configfile", "mnie.yaml", "--", "all"]) == 1
    assert capfd.readouterr().err == "error: --configfile mnie.yaml: no such file; did you mean mine.yaml?\n"


def test_what_snakemake_says_is_cut_to_the_message() -> None:
    output = ["Using profile", 'WorkflowError in file "/a/Snakefile", line 3:', "split: wrong", '  File "/a", line 3']
    assert command._errors(output) == ["split: wrong"]
    assert command._errors(["MissingRuleException:", "No rule to produce x"]) == ["No rule to produce x"]
    assert command._errors(["what is this"]) == ["what is this"]


@pytest.mark.parametrize("home", ["/dev/null/home", "file"])
def test_caches_move_where_the_home_cannot_be_written(
    home: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(folder / home) if home == "file" else home)
    moved = command.usable_caches()
    assert moved["XDG_CACHE_HOME"] == str(folder / ".snakemake/cache") and "MPLCONFIGDIR" in moved
    assert "The home folder cannot be written" in capsys.readouterr().err
    monkeypatch.setenv("HOME", str(folder))
    assert command.usable_caches() == {}
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert command.usable_caches() == {}, "the user has chosen a place"


def test_a_key_given_twice_is_named(folder: Path) -> None:
    (folder / "twice.yaml").write_text("probe: {folds: 3}\nsplit:\n  seed: 1\n  seed: 2\nprobe: {epochs: 2}\n")
    assert repeated_keys("twice.yaml") == [
        "twice.yaml, line 4: split.seed: is already given on line 3; YAML takes the last; keep one",
        "twice.yaml, line 5: probe: is already given on line 1; YAML takes the last; keep one",
    ]
    assert repeated_keys("mine.yaml") == []
    assert json.loads(json.dumps(read_yaml("mine.yaml"))) == {"results": "results/mine"}
