"""Names that the rules of tables and figures use."""

import re
from difflib import get_close_matches
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = run.workflow / "scripts"
SHEET, TRANSFER_SHEET = run.sheet, run.transfer_sheet
FROM_EMBEDDINGS = run.from_embeddings
PLATES, TRANSFER_PLATES = run.plates, run.transfer_plates
EVALUATION_PLATES = run.evaluation_plates
PAIRS, TRANSFER_ENCODERS = run.pairs, run.transfer_encoders
USED_ENCODERS, RUNS = run.encoders, run.pretraining_runs
result, log_file, benchmark_file = run.files.result, run.files.log, run.files.benchmark
embedding_files, transfer_embeddings = run.embeddings, run.transfer_embeddings


def code(script, libraries=True):
    """Digest of a script, computed for planned jobs only."""
    return lambda wildcards: run.code(script, libraries=libraries)
