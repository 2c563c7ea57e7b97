"""Where a run finds its config, its files and its library, from wherever it is started."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from snakemake.exceptions import WorkflowError

import campfire
from campfire.core.errors import ConfigError
from campfire.runs.job import share_library
from campfire.runs.planning import (
    base_config,
    complete,
    elsewhere,
    folder_name,
    for_snakemake,
    quote_interpreter,
    shipped,
)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("results", "results"),
        ("results/", "results"),
        ("./results//mine/", "results/mine"),
        ("/data/results/", "/data/results"),
        ("~/results", os.path.expanduser("~/results")),
        ("../results", "../results"),
    ],
)
def test_a_folder_has_one_spelling(given: str, name: str) -> None:
    assert folder_name("results", given) == name


def test_a_folder_with_braces_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"config: results: 'results/run\{1\}' has braces.*choose a folder without"):
        folder_name("results", "results/run{1}")


def test_the_base_config_and_its_files_are_found_from_another_folder(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workflow = repository / "workflow"
    config: dict[str, Any] = {"results": "out/", "tiles": {"dtype": "uint8"}}
    complete(config, workflow)
    assert config["results"] == "out" and config["tiles"]["dtype"] == "uint8" and config["split"]["held_out"] == 60
    assert config["sheet"] == str(repository / "config/plates.tsv")
    assert config["pretrain"]["ablation"]["tables"] == str(repository / "config/ablations")
    again = dict(config)
    complete(config, workflow)
    assert config == again


def test_the_users_own_files_go_first(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    workflow = repository / "workflow"
    assert base_config(workflow) == str(repository / "config/config.yaml")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("results: mine\n")
    (tmp_path / "config/plates.tsv").write_text("")
    assert base_config(workflow) == "config/config.yaml"
    assert shipped("config/plates.tsv", workflow) == "config/plates.tsv"
    assert shipped("config/known_bad.tsv", workflow) == str(repository / "config/known_bad.tsv")
    assert shipped("nowhere.tsv", workflow) == "nowhere.tsv" and shipped(None, workflow) is None


def test_jobs_import_the_library_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/elsewhere", "/more"]))
    share_library()
    share_library()
    source = str(Path(campfire.__file__).parents[1])
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [source, "/elsewhere", "/more"]


def test_errors_with_a_remedy_are_snakemakes_own() -> None:
    @for_snakemake
    def read(value: int) -> int:
        if value < 0:
            raise ConfigError("put it right")
        return value

    assert read(1) == 1
    with pytest.raises(WorkflowError, match="put it right"):
        read(-1)


def test_a_missing_file_says_which_folder_it_was_looked_for_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    workflow = tmp_path / "checkout/workflow"
    workflow.mkdir(parents=True)
    said = elsewhere("plates.tsv: no such sheet; correct its path", workflow)
    assert f"from, {tmp_path}: start in {workflow.parent}, or add --directory {workflow.parent}" in said
    assert elsewhere("plates.tsv, line 3: plate P1 is already on line 2", workflow) == ""
    monkeypatch.chdir(workflow.parent)
    assert elsewhere("plates.tsv: no such sheet; correct its path", workflow) == ""


def test_an_interpreter_below_a_folder_with_a_blank_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/my lab/bin/python")
    quote_interpreter()
    quote_interpreter()
    assert sys.executable == "'/my lab/bin/python'"
    monkeypatch.setattr("sys.executable", "/lab/bin/python")
    quote_interpreter()
    assert sys.executable == "/lab/bin/python"
