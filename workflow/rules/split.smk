rule assign_wells:
    input:
        sheet=config["sheet"],
        wells=result("metadata/well.csv.gz"),
    output:
        result("split/wells.parquet"),
    log:
        log_file("split"),
    conda:
        "../../envs/images.yaml"
    params:
        options=config["split"],
        code=code("split"),
    script:
        "../scripts/split.py"
