"""campfire: from the JUMP Cell Painting images to the paper's tables and figures.

Run it as `snakemake --profile profiles/local` or `--profile profiles/slurm`, with `--configfile config/demo.yaml`
for the simulated screen. Without a config file it is the paper's run.
"""

from snakemake.utils import min_version

min_version("9.10")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/stages.smk"
include: "workflow/rules/guard.smk"


wildcard_constraints:
    plate="|".join(map(re.escape, [*PLATES, *TRANSFER_PLATES])),
    run="|".join(map(re.escape, config["pretrain"]["runs"])),
    encoder="|".join(map(re.escape, config["encoders"])),
    channels="|".join(map(re.escape, config["channel_sets"])),


localrules:
    all,
    metadata,
    split,
    tiles,
    pretrain,
    embeddings,
    probes,
    tables,
    figures,
    report,
    bundle,


rule all:
    """Every table and figure, the page of findings, provenance: the default."""
    default_target: True
    input:
        TABLES,
        FIGURES,
        FINDINGS,
        run.available(
            expand(
                result("transfer/{encoder}/wells.parquet"), encoder=TRANSFER_ENCODERS
            )
        ),
        result("provenance.json"),


rule metadata:
    """JUMP's tables of plates, wells and compounds."""
    input:
        expand(result("metadata/{table}.csv.gz"), table=config["metadata"]),


rule split:
    """Which well is trained on and which is tested on."""
    input:
        result("split/wells.parquet"),


rule tiles:
    """Tiles of every plate: download, nuclei, 112x112 cuts."""
    input:
        expand(
            result("tiles/{plate}.{suffix}"),
            plate=[*PLATES, *TRANSFER_PLATES],
            suffix=["npy", "parquet"],
        ),


rule pretrain:
    """The pretraining runs that encoders use."""
    input:
        expand(result("pretrain/{run}/model.safetensors"), run=RUNS),


rule embeddings:
    """Embeddings of every encoder on every channel set, and of the transfer screen."""
    input:
        [path for pair in PAIRS for path in embedding_files(*pair)],
        [path for encoder in TRANSFER_ENCODERS for path in transfer_embeddings(encoder)],


rule probes:
    """Scores and predictions of the linear probes."""
    input:
        expand(
            result("probes/{pair}/scores.parquet"),
            pair=["/".join(pair) for pair in PAIRS],
        ),


rule tables:
    """All tables."""
    input:
        TABLES,


rule figures:
    """All figures."""
    input:
        FIGURES,


rule report:
    """Tables, figures and the page of findings; `make report` makes one file of them."""
    input:
        TABLES,
        FIGURES,
        FINDINGS,


rule bundle:
    """One archive of what tables and figures are made of."""
    input:
        result("bundle.tar"),
