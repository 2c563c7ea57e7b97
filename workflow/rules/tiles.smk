rule cut_tiles:
    input:
        images=result("images/{plate}"),
        nuclei=result("nuclei/{plate}.parquet"),
        quality=result("quality/{plate}.parquet"),
    output:
        tiles=result("tiles/{plate}.npy"),
        index=result("tiles/{plate}.parquet"),
    log:
        log_file("tiles/{plate}"),
    benchmark:
        benchmark_file("tiles/{plate}")
    priority: 20
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
        plates_on_disk=1,
    params:
        channels=lambda wildcards: plate_channels(wildcards.plate),
        pixel_size_um=lambda wildcards: plate_pixel_size(wildcards.plate),
        tiles=what("tiles", config["tiles"]),
        illumination=config["illumination"],
        code=code("tiles"),
    script:
        "../scripts/tiles.py"
