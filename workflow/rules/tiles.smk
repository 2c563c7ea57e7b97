rule cut_tiles:
    input:
        images=run.files.images("{plate}"),
        nuclei=run.files.nuclei("{plate}"),
        quality=run.files.quality("{plate}"),
    output:
        tiles=run.files.tiles("{plate}"),
        index=run.files.tile_index("{plate}"),
    log:
        run.files.log("tiles/{plate}"),
    benchmark:
        run.files.benchmark("tiles/{plate}")
    priority: 20
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
        plates_on_disk=1,
    params:
        channels=lambda wildcards: run.plate(wildcards.plate).channels,
        pixel_size_um=lambda wildcards: run.plate(wildcards.plate).pixel_size_um,
        tiles=run.options("tiles"),
        illumination=run.config["illumination"],
        illumination_offset=run.config["illumination_offset"],
        code=lambda wildcards: run.code("tiles"),
    script:
        "../scripts/tiles.py"
