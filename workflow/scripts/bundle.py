"""Pack everything behind the tables and figures, with the checksums of its own inputs."""

from campfire.runs import job

log = job.start(snakemake)

from pathlib import Path

from campfire.core.digests import file_sha256, value_digest
from campfire.runs.bundle import pack
from campfire.runs.provenance import git_commit, versions

params, config = snakemake.params, snakemake.config
facts = {
    "commit": git_commit("."),
    "config": value_digest(config),
    "code": params.stages,
    "versions": versions(),
    # Not inputs: large files of earlier stages may have been removed since, and must not be remade for this.
    "made from": {path: file_sha256(path) if Path(path).is_file() else "absent" for path in params.upstream},
}
sums = pack(snakemake.output[0], config["results"], snakemake.input.files, config, facts)
size = Path(snakemake.output[0]).stat().st_size
log.info("%s: %d files, %.1f MB", snakemake.output[0], len(sums), size / 1e6)
