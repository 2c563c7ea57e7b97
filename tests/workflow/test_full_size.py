"""The default run at its full number of jobs, three plates of which fail: the rest is done, and nothing is done twice.

Rules, sheet and split are the real ones; each job makes its files at once (`support.stub_run`).
"""

import re
import resource
from pathlib import Path

import pandas as pd
import pytest
import yaml

from support.stub_run import StubRun, stub_run

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

BROKEN = {"J12459b": "images", "J12424b": "cut_tiles", "JCPQC032": "nuclei"}
"""A plate whose download fails, one whose tiles do, both trained on, and an evaluation plate without nuclei."""
FOLDERS = {"cut_tiles": "tiles"}
COUNTING = re.compile(r"(tables|figures|page)/|findings|provenance|state/")
"""Results that say how many wells are left out."""


@pytest.fixture
def run(repository: Path, shared: Path, tmp_path: Path) -> StubRun:
    folder = tmp_path / "run"
    folder.mkdir()
    return stub_run(repository, shared / "data/metadata", folder)


def counts(text: str) -> dict[str, int]:
    """Jobs of each rule in Snakemake's table."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE)}


def processor_time() -> float:
    """Seconds of a processor that this process's ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_failing_plates_of_262_stop_nothing_else_and_the_next_run_goes_on(run: StubRun) -> None:
    sheet = pd.read_csv(run.folder / "config/plates.tsv", sep="\t", comment="#")
    assert set(BROKEN) < set(sheet["Metadata_Plate"])
    run.fail(f"logs/{FOLDERS.get(rule, rule)}/{plate}.log" for plate, rule in BROKEN.items())
    done = run.snakemake("--", "all")
    output = done.stdout + done.stderr
    assert done.returncode != 0 and counts(output)["total"] > 789, output[-3000:]
    table = output[output.index("3 jobs failed:") :]
    for plate, rule in BROKEN.items():
        row = next(line for line in table.splitlines() if line.startswith(plate))
        assert row.split()[1] == rule and f"{plate}.log: cannot be read" in row
    assert len(list((run.folder / "results/tiles").glob("*.npy"))) == 259
    assert "pretrain_run" in table and not (run.folder / "results/pretrain/campfire/model.safetensors").exists()
    section = re.search(r"^leave_out:\n(?:  .*\n)+", table, re.MULTILINE)
    assert section, table
    lines = yaml.safe_load(section[0])
    assert lines == {"leave_out": {plate: f"{rule} failed" for plate, rule in BROKEN.items()}}

    before = run.times()
    run.configure(lines)
    done = run.snakemake("--", "all")
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    planned = counts(output)
    assert not {"images", "nuclei", "cut_tiles", "contact_sheet", "fetch_metadata", "assign_wells"} & set(planned)
    after = run.times()
    changed = {name for name in before if after.get(name) != before[name] and not COUNTING.match(name)}
    assert not changed, f"nothing finished is made again: {sorted(changed)[:5]}"
    assert {"pretrain_run", "sample", "embed", "probe", "write_page"} <= set(planned)

    began = processor_time()
    done = run.snakemake("-n", "--", "all")
    took = processor_time() - began
    assert done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr, done.stdout + done.stderr
    results = len(run.times())
    assert results > 3000
    assert took < 15, f"planning with {results} results present took {took:.0f} s of a processor"

    done = run.snakemake("--report", "report.html", "--", "all")
    assert done.returncode == 0, done.stderr[-3000:]
    report = run.folder / "report.html"
    shown = report.read_text().count(";base64,")
    assert shown < 60, f"the report shows {shown} results: some plates of 262, not all"
    assert report.stat().st_size < 6e6
