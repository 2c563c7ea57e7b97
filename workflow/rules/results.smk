"""Which tables and figures this run has (campfire.runs.results). No rules here."""

from campfire.runs.planning import read_results
from campfire.runs.results import bundle_files, recorded_files, upstream_files

results = read_results(run)
TABLES, FIGURES, FINDINGS = (
    results.table_files,
    results.figure_files,
    results.findings,
)
