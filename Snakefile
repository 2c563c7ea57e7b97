"""campfire: from the JUMP Cell Painting images to the paper's tables and figures.

Run it as `snakemake --profile profiles/local` or `--profile profiles/slurm`, with `--configfile config/demo.yaml`
for the simulated screen. Without a config file it is the paper's run.
"""

from snakemake.utils import min_version

min_version("9.10")


configfile: "config/config.yaml"


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
    default_target: True
    input:
        TABLES,
        FIGURES,
        FINDINGS,
        at_hand(
            expand(
                result("transfer/{encoder}/wells.parquet"), encoder=TRANSFER_ENCODERS
            )
        ),
        result("provenance.json"),


rule metadata:
    input:
        expand(result("metadata/{table}.csv.gz"), table=config["metadata"]),


rule split:
    input:
        result("split/wells.parquet"),


rule tiles:
    input:
        expand(
            result("tiles/{plate}.{suffix}"),
            plate=[*PLATES, *TRANSFER_PLATES],
            suffix=["npy", "parquet"],
        ),


rule pretrain:
    input:
        expand(result("pretrain/{run}/model.safetensors"), run=RUNS),


rule embeddings:
    input:
        [path for pair in PAIRS for path in embedding_files(*pair)],
        [path for encoder in TRANSFER_ENCODERS for path in transfer_embeddings(encoder)],


rule probes:
    input:
        expand(
            result("probes/{pair}/scores.parquet"),
            pair=["/".join(pair) for pair in PAIRS],
        ),


rule tables:
    input:
        TABLES,


rule figures:
    input:
        FIGURES,


rule report:
    input:
        TABLES,
        FIGURES,
        FINDINGS,


rule bundle:
    input:
        result("bundle.tar"),
