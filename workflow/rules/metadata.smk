rule fetch_metadata:
    output:
        result("metadata/{table}.csv.gz"),
    log:
        log_file("metadata/{table}"),
    wildcard_constraints:
        table="|".join(config["metadata"]),
    conda:
        "../../envs/images.yaml"
    params:
        source=lambda wildcards: config["metadata"][wildcards.table],
        code=code("metadata", libraries=False),
    script:
        "../scripts/metadata.py"
