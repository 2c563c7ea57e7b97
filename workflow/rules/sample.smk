rule sample:
    input:
        wells=run.files.wells,
        nuclei=[run.files.nuclei(plate) for plate in run.evaluation_plates],
    output:
        run.files.sample,
    log:
        run.files.log("sample/cells"),
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        options=run.options("sample"),
        leave_out=run.left_out.of_evaluation,
        controls=list(run.config.split.controls),
        negative_controls=run.negative_controls,
        protocols=list(run.config.probe.protocols),
        code=lambda wildcards: run.code("sample"),
    script:
        "../scripts/sample.py"


rule sample_transfer:
    input:
        sheet=run.config.transfer.sheet or [],
        nuclei=[run.files.nuclei(plate) for plate in run.transfer_plates],
    output:
        run.files.transfer_sample,
    log:
        run.files.log("sample/transfer"),
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        leave_out=run.left_out.of(run.transfer_plates),
        sheet=lambda wildcards: contents([run.config.transfer.sheet]),
        cells_per_well=run.config.transfer.cells_per_well,
        seed=run.config.sample.seed,
        code=lambda wildcards: run.code("sample_transfer"),
    script:
        "../scripts/sample_transfer.py"
