"""The workflow as a whole: generated files are current, and the paper's run can be planned without network."""

import ast
import re
import runpy
from pathlib import Path

import pytest
import yaml

from campfire.screen.metadata import read_sheet
from support.warm_snakemake import snakemake

CONFIGS = [f"config/{name}.yaml" for name in ("demo", "pilot", "smoke", "sceptic", "strict", "strict-against-release")]


def test_environments_are_pinned_to_the_lock(repository: Path) -> None:
    for name, text in runpy.run_path(str(repository / "envs/generate.py"))["environments"]().items():
        assert (repository / "envs" / name).read_text() == text, "run `make envs`"


def test_the_paper_sheet_has_its_plates(repository: Path) -> None:
    sheet = read_sheet(repository / "config/plates.tsv")
    assert sheet.groupby(["Metadata_PlateType", "role"]).size().to_dict() == {
        ("COMPOUND", "train"): 237,
        ("TARGET2", "id"): 20,
        ("TARGET2", "ood"): 5,
    }


@pytest.mark.workflow
def test_the_paper_run_is_planned_without_network(repository: Path, tmp_path: Path) -> None:
    """Every stage of every plate is in the plan, in plate-sized jobs."""
    changes = tmp_path / "config.yaml"
    changes.write_text(
        yaml.safe_dump(
            {
                "results": str(tmp_path / "results"),
                "sheet": str(repository / "config/plates.tsv"),
                "known_bad": str(repository / "config/known_bad.tsv"),
            }
        )
    )
    command = ["-s", repository / "Snakefile", "--directory", tmp_path]
    command += ["--configfile", repository / "config/config.yaml", changes, "-n"]
    command += ["--quiet", "rules", "--", "all", "ablation"]
    offline = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    done = snakemake(command, tmp_path, offline)
    assert done.returncode == 0, done.stdout + done.stderr
    output = done.stdout + done.stderr
    counts = {
        words[0]: int(words[1])
        for line in output.splitlines()
        if len(words := line.split()) == 2 and words[1].isdigit()
    }
    assert counts["images"] == counts["nuclei_gpu"] == counts["cut_tiles"] == 262
    assert (counts["contact_sheet"], counts["contact_sheet_in_report"]) == (259, 3), "the report shows a few plates"
    assert counts["pretrain_run"] == 1 and counts["ablation_run"] == 63
    assert counts["embed"] == counts["probe"] == 13
    assert counts["total"] <= 3000


def test_rules_say_what_and_the_library_says_how(repository: Path) -> None:
    """No function, command line or exit hook in a rule file: those are typed and tested in campfire.runs."""
    files = [
        repository / "Snakefile",
        *(repository / "workflow").glob("Snakefile"),
        *(repository / "workflow").rglob("*.smk"),
    ]
    assert len(files) > 15
    for path in files:
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"^\s*def .*|sys\.argv|\batexit\b", text, re.MULTILINE)
        assert not found, f"{path}: {found}"
    assert len((repository / "workflow/Snakefile").read_text(encoding="utf-8").splitlines()) < 60


def test_scripts_import_the_library_alone(repository: Path) -> None:
    """So that the workflow can be a module of another one, whose folder is not this one."""
    beside = {path.stem for path in (repository / "workflow/scripts").glob("*.py")}
    for path in (repository / "workflow/scripts").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not named & beside and "sys.path" not in path.read_text(encoding="utf-8"), path
