rule images:
    input:
        wells=lambda wildcards: plate_wells(wildcards.plate),
    output:
        images=temp(directory(result("images/{plate}"))),
        record=result("download/{plate}.parquet"),
        plan=result("download/{plate}.plan.json"),
    log:
        log_file("images/{plate}"),
    benchmark:
        benchmark_file("images/{plate}")
    conda:
        "../../envs/images.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=480,
        # A plate's three jobs up to its tiles each hold one, and later ones go first: what a finished download gives
        # back is taken by the same plate's next job, so raw images of no more plates than this are on disk.
        plates_on_disk=1,
    params:
        source=what("s3", config["s3"]),
        machine=how("s3", lambda wildcards: config["s3"]),
        known_bad=lambda wildcards: known_bad(wildcards.plate),
        wells=lambda wildcards: transfer_wells(wildcards.plate),
        place=lambda wildcards: plate_place(wildcards.plate),
        channels=lambda wildcards: plate_channels(wildcards.plate),
        illumination=config["illumination"],
        # No declared output: what a killed job has fetched must survive until the next attempt.
        state=lambda wildcards: result(f"state/images/{wildcards.plate}"),
        code=code("images", libraries=False),
    script:
        "../scripts/images.py"


rule check_source:
    """Reads a few objects of each batch and compares channels, shape and pixel size with the config."""
    input:
        sheet=config["sheet"] or config["transfer"]["sheet"],
    output:
        table=result("check_source.md"),
    log:
        log_file("check_source"),
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        options=config["s3"],
        plates=[plate_place(plate) for plate in PLATES or TRANSFER_PLATES],
        channels=(
            config["channels"] if PLATES else plate_channels((*TRANSFER_PLATES, "")[0])
        ),
        illumination=config["illumination"],
        pixel_size_um=(
            config["pixel_size_um"] if PLATES else config["transfer"]["pixel_size_um"]
        ),
        code=code("check_source"),
    script:
        "../scripts/check_source.py"
