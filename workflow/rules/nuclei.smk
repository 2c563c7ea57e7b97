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
        nuclei={**config["nuclei"], **tile_shape()},
        quality=config["quality"],
        illumination=config["illumination"],
        code=code("nuclei"),
    script:
        "../scripts/nuclei.py"
