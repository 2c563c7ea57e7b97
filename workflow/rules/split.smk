rule assign_wells:
    input:
        sheet=config["sheet"],
        wells=result("metadata/well.csv.gz"),
    output:
        result("split/wells.parquet"),
    params:
        options=config["split"],
        code=code("split"),
    log:
        log_file("split"),
    conda:
        "../../envs/images.yaml"
    script:
        "../scripts/split.py"
