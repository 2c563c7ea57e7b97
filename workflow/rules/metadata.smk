rule fetch_metadata:
    output:
        run.files.metadata("{table}"),
    log:
        run.files.log("metadata/{table}"),
    wildcard_constraints:
        table="|".join(run.config.metadata),
    conda:
        "../../envs/images.yaml"
    params:
        source=lambda wildcards: run.metadata_source(wildcards.table),
        code=lambda wildcards: run.code("metadata", libraries=False),
    script:
        "../scripts/metadata.py"
