"""Names of files and parameters that all rules use; then the checks, and the functions on plates and encoders."""

import re
import sys
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from snakemake.exceptions import WorkflowError

from campfire.core.yaml import read_yaml
from campfire.runs.configuration import validate
from campfire.core.errors import CampfireError
from campfire.screen.metadata import empty_sheet, read_sheet
from campfire.training import result_values
from campfire.runs.fingerprint import code_state, syntax_digest

SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"


def result(path):
    """A path below the results root."""
    return f"{config['results']}/{path}"


def log_file(path):
    """A path below the logs root."""
    return f"{config['logs']}/{path}.log"


def benchmark_file(path):
    """A path below the results root's benchmarks."""
    return result(f"benchmarks/{path}.tsv")


def code(script, libraries=True):
    """Digest of a script and of all library code it reaches, and versions of the libraries that this code uses.

    As a parameter it reruns what an edit affects. It is computed for planned jobs only: every job reads the whole
    workflow, and parsing all scripts costs a second.
    """
    return lambda wildcards: code_state(SCRIPTS / f"{script}.py", libraries)


S3_SOURCE = {"bucket", "prefix", "folder"}
HOW = {
    "s3": lambda name: name not in S3_SOURCE,
    "nuclei": {"device", "batch_size", "sites_per_batch"}.__contains__,
    "embed": {"batch_size"}.__contains__,
    "transfer.head": {"checkpoint_every"}.__contains__,
}
"""Of each section, the options that say how a machine does the work and leave the result as it is."""


def what(section, options):
    """The options that decide what comes out; the order of keys does not count."""
    if options is None:
        return None
    is_how = HOW.get(section, lambda name: False)
    return in_order({k: v for k, v in options.items() if not is_how(k)})


def how(section, options):
    """The other options, as a parameter that is no reason to run again.

    Snakemake compares with the last run only parameters that do not ask for `input`; these ask and look not.
    """
    return lambda wildcards, input: {
        k: v for k, v in options(wildcards).items() if HOW[section](k)
    }


def counted_config():
    """The config without what only says how a machine works and where things are put."""
    said = ("logs", "results", "redo", "show_plan")
    counted = {k: v for k, v in config.items() if k not in said}
    runs = {run: run_options(run) for run in config["pretrain"]["runs"]}
    counted["pretrain"] = {**config["pretrain"], "runs": runs}
    counted["transfer"] = {
        **config["transfer"],
        "head": what("transfer.head", config["transfer"]["head"]),
    }
    counted |= {name: what(name, config[name]) for name in ("s3", "nuclei", "embed")}
    return in_order(counted)


def in_order(value):
    """A value whose mappings list their keys in order."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return value


def weight_files(choices):
    """The files among choices of weights; the others are names (hub, random) or nothing."""
    return [
        weights for weights in choices if weights not in (None, "", "hub", "random")
    ]


def run_options(run):
    """Options of a pretraining run that its result depends on."""
    values = {
        "channels": config["training_channels"],
        **config["pretrain"]["runs"][run],
    }
    return result_values(values)


include: "checks.smk"
include: "plates.smk"
include: "encoders.smk"
