"""Record the provenance of the results: versions, commit, config, hardware, seeds, checksums of tables."""

from campfire.runs import job

log = job.start(snakemake)

from pathlib import Path

from campfire.core.digests import file_sha256, value_digest
from campfire.core.files import write_json
from campfire.runs.job_records import by_stage
from campfire.runs.provenance import git_commit, hardware, versions

config = snakemake.params.config
facts = {
    "commit": git_commit("."),
    "config": {"digest": value_digest(config), "values": config},
    "versions": versions(),
    "hardware": hardware(),
    "seeds": {
        "split": config["split"]["seed"],
        "sample": config["sample"]["seed"],
        **{f"pretrain {run}": options["seed"] for run, options in config["pretrain"]["runs"].items()},
    },
    "stages": by_stage(Path(snakemake.config["results"]) / "state" / "provenance"),
    "code": snakemake.params.stages,
    "files": {path: file_sha256(path) for path in sorted(snakemake.input)},
    "modified": {path: Path(path).stat().st_mtime for path in sorted(snakemake.input)},
}
write_json(snakemake.output[0], facts)
