"""Nuclei of a plate: on a processor, or by Cellpose under the name `nuclei_gpu`, to which profiles give a GPU."""


rule nuclei:
    input:
        images=result("images/{plate}"),
    output:
        nuclei=result("nuclei/{plate}.parquet"),
        quality=result("quality/{plate}.parquet"),
    log:
        log_file("nuclei/{plate}"),
    benchmark:
        benchmark_file("nuclei/{plate}")
    priority: 10
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=480,
        plates_on_disk=1,
    params:
        pixel_size_um=lambda wildcards: plate_pixel_size(wildcards.plate),
        nuclei={**what("nuclei", config["nuclei"]), **tile_shape()},
        machine=how("nuclei", lambda wildcards: config["nuclei"]),
        quality=what("quality", config["quality"]),
        illumination=config["illumination"],
        code=code("nuclei"),
    script:
        "../scripts/nuclei.py"


if config["nuclei"]["method"] == "cellpose":

    ruleorder: nuclei_gpu > nuclei

    use rule nuclei as nuclei_gpu with:
        threads: 2


rule count_losses:
    input:
        download=expand(
            result("download/{plate}.parquet"), plate=[*PLATES, *TRANSFER_PLATES]
        ),
        quality=expand(
            result("quality/{plate}.parquet"), plate=[*PLATES, *TRANSFER_PLATES]
        ),
        nuclei=expand(
            result("nuclei/{plate}.parquet"), plate=[*PLATES, *TRANSFER_PLATES]
        ),
    output:
        result("losses/counts.parquet"),
    log:
        log_file("losses"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("losses"),
    script:
        "../scripts/losses.py"
