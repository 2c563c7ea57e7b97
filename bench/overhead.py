"""What starting and ending jobs costs: processor seconds per job, and their share of a run, by rule.

A job's total comes from its record (state/provenance in the results), which lacks the end of its process; start and end
are measured here, as the least of some repeats of: start Python, read Snakemake's objects, run the import statements of
the rule's script, import the module that draws the figure or builds the table, and exit. Work below the line "planning"
is that of Snakemake itself.
"""

import argparse
import ast
import json
import re
import resource
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

from campfire.report.catalogue import FIGURES, TABLES

REPOSITORY = Path(__file__).resolve().parents[1]
PREAMBLE = """import pickle; from snakemake.logging import logger; from snakemake.iocontainers import Snakemake
from campfire.core.memory import collect_seldom; collect_seldom()"""
"""What Snakemake puts before every script, and what every script begins with."""
RULE = re.compile(
    r"^\s*(?:use rule (?P<base>\w+) as |rule )(?P<name>\w+)[^\n]*:|scripts/(?P<script>\w+)\.py", re.MULTILINE
)


def scripts() -> dict[str, str]:
    """Rule -> name of its script, as the rule files say."""
    found: dict[str, str] = {}
    for path in sorted((REPOSITORY / "workflow/rules").glob("*.smk")):
        name = ""
        for match in RULE.finditer(path.read_text(encoding="utf-8")):
            if match["script"]:
                found[name] = match["script"]
            else:
                name = match["name"]
                if match["base"] in found:
                    found[name] = found[match["base"]]
    return found


def imports(script: str) -> str:
    """The import statements of a script, as a program."""
    tree = ast.parse((REPOSITORY / f"workflow/scripts/{script}.py").read_text(encoding="utf-8"))
    return "\n".join(ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))


@cache
def start_up(program: str, repeats: int) -> float:
    """Least processor seconds of a fresh Python that runs a program, its end included."""
    taken = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


def program(rule: str, script: str, wildcards: dict[str, str]) -> str:
    """What a job of a rule does before its work."""
    lines = [PREAMBLE, imports(script)]
    entry = next((e for e in (*TABLES, *FIGURES) if e.kind == rule and e.name == wildcards.get(rule)), None)
    if entry:
        lines.append(f"import {entry.function.partition(':')[0]}")
    return "\n".join(lines)


def planning(results: Path, repeats: int) -> float | None:
    """Processor seconds of a dry run of the demo; None for other results."""
    if results.name != "demo":
        return None
    call = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--configfile", "config/demo.yaml", "-n"]
    quiet = "import subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(repeats):
        subprocess.run([sys.executable, "-c", quiet, *call, "--quiet", "all"], check=True, cwd=REPOSITORY)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results/demo"), help="folder of a finished run")
    parser.add_argument("--quick", action="store_true", help="one repeat")
    given = parser.parse_args()
    records = [json.loads(path.read_text()) for path in sorted(given.results.glob("state/provenance/*/*.json"))]
    finished = [record for record in records if "ended" in record]
    if not finished:
        print(f"{given.results}: no records of finished jobs; run `make demo` first")
        return
    by_rule, known, repeats = defaultdict(list), scripts(), 1 if given.quick else 3
    for record in finished:
        before = program(record["rule"], known[record["rule"]], record["wildcards"])
        by_rule[record["rule"]].append((record["processor_seconds"], start_up(before, repeats)))
    print(f"{'rule':18} {'jobs':>5} {'start-up, s/job':>16} {'start-up, s':>12} {'all, s':>8} {'share':>6}")
    rows = {rule: (len(jobs), sum(s for _, s in jobs), sum(a for a, _ in jobs)) for rule, jobs in by_rule.items()}
    rows = dict(sorted(rows.items(), key=lambda row: -row[1][1]))
    rows["all jobs"] = tuple(map(sum, zip(*rows.values(), strict=True)))
    for rule, (jobs, started, total) in rows.items():
        print(f"{rule:18} {jobs:5} {started / jobs:16.2f} {started:12.1f} {total:8.1f} {started / total:6.0%}")
    if (seconds := planning(given.results, repeats)) is not None:
        print(f"planning: {seconds:.2f} s (a dry run)")


if __name__ == "__main__":
    main()
