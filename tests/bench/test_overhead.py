"""What starting jobs costs: the rules' scripts, their imports, and the table printed from the records of a run."""

import json
import runpy
import subprocess
import sys
from pathlib import Path


def test_every_rule_is_known_by_its_script(repository: Path) -> None:
    bench = runpy.run_path(str(repository / "bench/overhead.py"))
    scripts: dict[str, str] = bench["scripts"]()
    assert (scripts["embed_transfer"], scripts["nuclei_gpu"]) == ("embed", "nuclei")
    assert (scripts["pretrain_run"], scripts["ablation_run"]) == ("pretrain", "pretrain")
    files = {path.stem for path in (repository / "workflow/scripts").glob("*.py")}
    assert set(scripts.values()) == files
    compile(bench["program"]("figure", "figure", {"figure": "confusion"}), "a figure's start", "exec")
    assert "import campfire.report.figures.confusion" in bench["program"]("figure", "figure", {"figure": "confusion"})


def test_share_of_start_up_is_of_the_recorded_time(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state/provenance/fetch_metadata"
    folder.mkdir(parents=True)
    for name, ended in (("well", {"ended": 2.0}), ("plate", {"ended": 2.0}), ("compound", {})):
        record = {"rule": "fetch_metadata", "wildcards": {"table": name}, "processor_seconds": 1000.0, **ended}
        (folder / f"{name}.json").write_text(json.dumps(record))
    command = [sys.executable, repository / "bench/overhead.py", tmp_path, "--quick"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    rule, jobs, each, started, total, share = lines[1].split()
    assert (rule, jobs, total, share) == ("fetch_metadata", "2", "2000.0", "0%"), "an unfinished job counts"
    assert 0.05 < float(each) < 30 and abs(float(started) - 2 * float(each)) < 0.11
