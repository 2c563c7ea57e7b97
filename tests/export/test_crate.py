"""The RO-Crate of a finished run: read by the rocrate library, held by its own check, deposited with .zenodo.json."""

import json
import shutil
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from campfire import cli
from campfire.core.digests import file_sha256
from campfire.core.errors import ConfigError, DataError
from campfire.export.crate import METADATA, check
from campfire.export.people import OWN, Citation

PEOPLE = """
title: "Cells of mine"
authors:
  - {family-names: Curie, given-names: Marie, orcid: "https://orcid.org/0000-0002-1825-0097", affiliation: Sorbonne}
  - {name: "The cell group"}
"""


@pytest.fixture(scope="module")
def crate(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crate")
    (folder / "CITATION.cff").write_text(PEOPLE)
    ask = ["export", "crate", str(results), str(folder / "out"), "--licence", "CC-BY-4.0", "--published", "2026-03-01"]
    assert cli.main([*ask, "--citation", str(folder / "CITATION.cff")]) == 0
    return folder / "out"


def test_the_rocrate_library_reads_all_of_it(crate: Path, results: Path) -> None:
    read = ROCrate(crate)
    root = read.root_dataset
    assert root["datePublished"] == "2026-03-01" and root["license"].id == "https://spdx.org/licenses/CC-BY-4.0"
    assert [person["name"] for person in root["author"]] == ["Marie Curie", "The cell group"]
    files = {entity.id: entity for entity in read.data_entities}
    for name in ("tables/accuracies.csv", "pretrain/base/model.safetensors", "split/wells.parquet", "provenance.json"):
        assert files[name]["sha256"] == file_sha256(results / name) == file_sha256(crate / name)
    run = read.get("#run")
    assert run["object"].id == "download/P1.parquet", "one alone stands without a list, as the standard recommends"
    assert "tables/accuracies.csv" in {entity.id for entity in run["result"]}
    used = {(entity["name"], entity["softwareVersion"]) for entity in run["instrument"]["softwareRequirements"]}
    assert ("torch", "2.6.0") in used and run["instrument"]["version"].startswith("0123456789")


def test_zenodo_gets_creators_and_licence(crate: Path) -> None:
    deposit = json.loads((crate / ".zenodo.json").read_text())
    assert deposit["creators"] == [
        {"name": "Curie, Marie", "affiliation": "Sorbonne", "orcid": "0000-0002-1825-0097"},
        {"name": "The cell group"},
    ]
    assert (deposit["license"], deposit["upload_type"]) == ("cc-by-4.0", "dataset")
    assert deposit["title"] == "Results of Cells of mine" and deposit["description"]


def test_the_reviewers_check(crate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "check", str(crate)]) == 0
    assert "files as in its metadata" in capsys.readouterr().out
    copy = tmp_path / "crate"
    shutil.copytree(crate, copy)
    (copy / "tables/accuracies.csv").write_text("better\n")
    assert cli.main(["export", "check", str(copy)]) == 1
    assert "accuracies.csv: differs from its checksum" in capsys.readouterr().err
    (copy / "tables/accuracies.csv").unlink()
    with pytest.raises(DataError, match=r"accuracies\.csv: is not in the crate"):
        check(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda graph: graph[1].pop("license"), "lacks license"),
        (lambda graph: graph[0].update(about={"@id": "other/"}), "does not describe its folder"),
        (lambda graph: graph.append(dict(graph[-1])), "repeats an entity"),
        (lambda graph: graph[1].update(author={"@id": "#nobody"}), "refers to #nobody"),
        (lambda graph: graph.pop(0), "not the metadata of an RO-Crate"),
    ],
)
def test_metadata_that_break_the_standard_are_refused(crate: Path, tmp_path: Path, change: object, words: str) -> None:
    copy = tmp_path / "crate"
    shutil.copytree(crate, copy)
    content = json.loads((copy / METADATA).read_text())
    content["@graph"].sort(
        key=lambda entity: [METADATA, "./"].index(entity["@id"]) if entity["@id"] in (METADATA, "./") else 2
    )
    change(content["@graph"])
    (copy / METADATA).write_text(json.dumps(content))
    with pytest.raises(DataError, match=words):
        check(copy)


def test_altered_results_and_nameless_authors_are_refused(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    (copy / "tables/accuracies.csv").write_text("better\n")
    assert cli.main(["export", "crate", str(copy), str(tmp_path / "out"), "--licence", "CC0-1.0"]) == 1
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine.cff").write_text("title: x\nauthors: []\n")
    with pytest.raises(ConfigError, match="it names no authors"):
        Citation.read(tmp_path / "mine.cff")
    assert Citation.read(OWN).creators()
