rule fetch_metadata:
    output:
        result("metadata/{table}.csv.gz"),
    params:
        source=lambda wildcards: config["metadata"][wildcards.table],
        code=code("metadata"),
    log:
        log_file("metadata/{table}"),
    conda:
        "../../envs/images.yaml"
    wildcard_constraints:
        table="|".join(config["metadata"]),
    script:
        "../scripts/metadata.py"
