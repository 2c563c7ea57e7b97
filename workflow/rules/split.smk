rule assign_wells:
    input:
        sheet=config["sheet"] or [],
        wells=result("metadata/well.csv.gz"),
        compounds=structures_table(),
    output:
        wells=result("split/wells.parquet"),
        plates=expand(result("split/plates/{plate}.tsv"), plate=PLATES),
    log:
        log_file("split"),
    conda:
        "../../envs/images.yaml"
    params:
        options=what("split", config["split"]),
        code=code("split"),
    script:
        "../scripts/split.py"
