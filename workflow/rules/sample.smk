rule sample:
    input:
        wells=result("split/wells.parquet"),
        nuclei=expand(result("nuclei/{plate}.parquet"), plate=EVALUATION_PLATES),
    output:
        result("sample/cells.parquet"),
    log:
        log_file("sample/cells"),
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        options=what("sample", config["sample"]),
        controls=config["split"]["controls"],
        protocols=config["probe"]["protocols"],
        code=code("sample"),
    script:
        "../scripts/sample.py"


rule sample_transfer:
    input:
        sheet=config["transfer"]["sheet"] or [],
        nuclei=expand(result("nuclei/{plate}.parquet"), plate=TRANSFER_PLATES),
    output:
        result("sample/transfer.parquet"),
    log:
        log_file("sample/transfer"),
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        cells_per_well=config["transfer"]["cells_per_well"],
        seed=config["sample"]["seed"],
        code=code("sample_transfer"),
    script:
        "../scripts/sample_transfer.py"
