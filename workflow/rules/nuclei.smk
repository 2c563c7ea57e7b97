"""Nuclei of a plate: on a CPU, or by Cellpose in the rule `nuclei_gpu`, to which profiles give a GPU."""


rule nuclei:
    input:
        images=run.files.images("{plate}"),
    output:
        nuclei=run.files.nuclei("{plate}"),
        quality=run.files.quality("{plate}"),
    log:
        run.files.log("nuclei/{plate}"),
    benchmark:
        run.files.benchmark("nuclei/{plate}")
    priority: 10
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=480,
        plates_on_disk=1,
    params:
        pixel_size_um=lambda wildcards: run.plate(wildcards.plate).pixel_size_um,
        nuclei=lambda wildcards: run.plate(wildcards.plate).nuclei_options(
            run.options("nuclei"), run.config
        ),
        machine=lambda wildcards, input: run.machine("nuclei"),
        quality=run.options("quality"),
        illumination=run.config.illumination,
        illumination_offset=run.config.illumination_offset,
        code=lambda wildcards: run.code("nuclei"),
    script:
        "../scripts/nuclei.py"


if run.config.nuclei.method == "cellpose":

    ruleorder: nuclei_gpu > nuclei

    use rule nuclei as nuclei_gpu with:
        threads: 2


rule count_attrition:
    input:
        download=[run.files.download(plate) for plate in run.all_plates],
        quality=[run.files.quality(plate) for plate in run.all_plates],
        nuclei=[run.files.nuclei(plate) for plate in run.all_plates],
    output:
        run.files.attrition,
    log:
        run.files.log("attrition"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        leave_out=run.left_out.all,
        code=lambda wildcards: run.code("attrition"),
    script:
        "../scripts/attrition.py"
