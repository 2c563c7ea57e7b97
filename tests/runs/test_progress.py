"""The stages of a run in the terminal: counts, time left, failures, and what reaches neither them nor the terminal."""

import io
import logging
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from campfire.runs.made import asked_for, describe
from campfire.runs.progress.handler import LogHandler
from campfire.runs.progress.stages import STAGE_OF_RULE, TARGETS, Job, Progress
from campfire.runs.progress.terminal import SHOWS_STAGES, WARNINGS, Warnings


def rules(repository: Path) -> set[str]:
    """Names of all rules of the workflow."""
    files = [*(repository / "workflow/rules").glob("*.smk"), repository / "workflow/Snakefile"]
    named = r"^\s*(?:rule (\w+):|use rule \w+ as (\w+) with:)"
    found = [match for file in files for match in re.findall(named, file.read_text(), re.MULTILINE)]
    return {first or second for first, second in found}


def test_every_rule_has_a_stage_or_is_a_target(repository: Path) -> None:
    assert rules(repository) == set(STAGE_OF_RULE) | TARGETS


def test_what_a_run_made_is_said_in_a_sentence() -> None:
    rules = Counter(table=2, embed=1, embed_transfer=1, figure=1, sample=5)
    assert describe(rules, ["a/page/index.html"]) == (
        "Made: 2 tables of embeddings, 2 tables, 1 figure.\nOpen in a browser: a/page/index.html"
    )
    assert describe(Counter(check_source=1), ["a/check_source.md"]) == "See a/check_source.md"
    assert describe(Counter(table=1), ["a"] * 9) == "Made: 1 table." and not describe(Counter(), ["a"])


def test_the_files_of_a_rule_that_was_asked_for_are_named() -> None:
    check = SimpleNamespace(output=["a/check_source.md"], input=["a/sheet"])
    bundle = SimpleNamespace(output=[], input=["a/bundle.tar"])
    dag = SimpleNamespace(targetfiles={"a/figure.pdf"}, targetjobs=[check, bundle])
    assert asked_for(dag) == ["a/bundle.tar", "a/check_source.md", "a/figure.pdf"]


def test_time_left_follows_the_jobs_that_have_ended() -> None:
    progress = Progress(0.0)
    progress.plan({"cut_tiles": 4, "all": 1, "total": 5})
    (stage,) = progress.stages.values()
    assert stage.total == progress.total == 4 and stage.left(5.0) is None, "no job has ended"
    progress.start(1, Job("cut_tiles", "P1", "", 10.0))
    progress.start(2, Job("cut_tiles", "P2", "", 10.0))
    progress.finish(1, 20.0)
    assert stage.left(20.0) == pytest.approx(30.0), "one in ten seconds, three to go"
    progress.finish(2, 20.0)
    progress.finish(2, 25.0)
    assert stage.done == 2 and stage.seconds(100.0) == 10.0, "time without a running job does not count"
    progress.start(3, Job("cut_tiles", "P3", "", 100.0))
    assert stage.left(105.0) == pytest.approx(15.0) and re.search(
        "15 s left +cut_tiles P3", progress.line(stage, 105.0)
    )


def test_a_job_that_is_tried_again_counts_once() -> None:
    progress = Progress(0.0)
    progress.plan({"images": 1, "table": 2})
    for began in (0.0, 5.0):
        progress.start(1, Job("images", "P1", "", began))
        failed = progress.fail(1, began + 1)
        assert failed is not None and failed.label == "images P1"
    assert progress.end(6.0) == "0 of 3 jobs done in 6 s, 1 failed, 2 not reached."
    progress.start(1, Job("images", "P1", "", 7.0))
    progress.finish(1, 8.0)
    assert progress.end(9.0) == "1 of 3 jobs done in 9 s."


def test_a_line_ends_with_the_last_line_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "pretrain.log"
    log.write_text("10:00:00 pretrain_run[campfire]: start\n10:00:10 pretrain_run[campfire]: epoch 3/8  8 s left\n\n")
    progress = Progress(0.0)
    progress.plan({"pretrain_run": 1})
    progress.start(1, Job("pretrain_run", "campfire", str(log), 0.0))
    line = progress.line(progress.stages["Pretraining"], 20.0)
    assert line.startswith("Pretraining") and line.endswith("pretrain_run campfire: epoch 3/8  8 s left")


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> LogHandler:
    monkeypatch.setenv(SHOWS_STAGES, "")
    monkeypatch.setenv(WARNINGS, "")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    settings: Any = SimpleNamespace(dryrun=False, verbose=False, stdout=False)
    return LogHandler(settings, None)


def said(handler: LogHandler, level: int, text: str | None, **facts: Any) -> None:
    record = logging.LogRecord("snakemake.logging", level, "", 0, text, None, None)
    record.__dict__.update(facts)
    handler.handle(record)


def test_chatter_is_left_out_and_errors_are_not(handler: LogHandler, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("10:00:00 images[P1]: ERROR after 3 s: plate P1: no images; check the sheet\n")
    said(handler, logging.INFO, "Building DAG of jobs...")
    said(handler, logging.INFO, "Job stats", event=LogEvent.RUN_INFO, stats={"images": 2, "total": 2})
    for number, plate in enumerate(("P1", "P2")):
        job = {"jobid": number, "rule_name": "images", "wildcards": {"plate": plate}, "log": [str(log)]}
        said(handler, logging.INFO, "Rule", event=LogEvent.JOB_INFO, **job)
    said(handler, logging.INFO, "Finished", event=LogEvent.JOB_FINISHED, job_id=1)
    said(handler, logging.ERROR, "Error in rule", event=LogEvent.JOB_ERROR, jobid=0)
    said(handler, logging.ERROR, "RuleException:\nCalledProcessError", event=LogEvent.ERROR, exception="RuleException")
    said(handler, logging.WARNING, "the disk is nearly full")
    said(handler, logging.INFO, "Made: 3 tables", campfire=True)
    handler.close()
    text = handler.stream.getvalue()
    assert "DAG" not in text and "RuleException" not in text
    assert f"FAILED images P1: plate P1: no images; check the sheet ({log})\n" in text
    assert "the disk is nearly full\nMade: 3 tables\n" in text
    assert re.search(r"^Images +1/2 ", text, re.MULTILINE) and text.endswith("1 of 2 jobs done in 0 s, 1 failed.\n")


JOB = """
import logging, os, sys
from types import SimpleNamespace
from campfire.runs.job import start
from campfire.runs.progress.terminal import SHOWS_STAGES, identity
if sys.argv[1] == "stages":
    os.environ[SHOWS_STAGES] = identity(sys.stderr)
empty = SimpleNamespace(items=lambda: [])
start(SimpleNamespace(rule="profile", log=["job.log"], wildcards=type("W", (list,), {"items": lambda s: []})(),
      params=empty, output=[], threads=1, resources={}, config={"results": "results"})).info("one")
logging.getLogger("copairs").info("Finding positive pairs...")
logging.getLogger("copairs").warning("a warning")
logging.getLogger("campfire.images").warning("few cells")
print("printed", file=sys.stderr)
"""


@pytest.mark.parametrize("shown", ["stages", "lines"])
def test_chatter_of_libraries_stays_in_the_log(shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WARNINGS, "")
    left = Warnings()
    done = subprocess.run([sys.executable, "-c", JOB, shown], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    logged = (tmp_path / "job.log").read_text()
    assert "one" in logged and "Finding positive pairs" in logged and "a warning" in logged
    assert "Finding" not in done.stderr
    if shown == "stages":
        assert not done.stderr and "printed" in logged
        assert [line.partition(" ")[2] for line in left.new()] == ["profile: few cells"] and not [*left.new()]
    else:
        assert "profile: one" in done.stderr and "a warning" in done.stderr and "printed" in done.stderr
    left.close()
    assert not left.path.exists()


def test_a_warning_of_many_jobs_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WARNINGS, "")
    left = Warnings()
    with open(left.path, "a", encoding="utf-8") as file:
        file.write("10:00:00 profile[a]: few wells\n10:00:01 profile[b]: few wells\n10:00:02 profile[b]: no wells\n")
    assert [*left.new()] == ["10:00:00 profile[a]: few wells", "10:00:02 profile[b]: no wells"]
    with open(left.path, "a", encoding="utf-8") as file:
        file.write("10:00:03 profile[c]: few wells\n")
    assert [*left.new()] == [] and left.repeated == 2
    left.close()
