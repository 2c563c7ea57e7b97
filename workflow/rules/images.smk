from campfire.runs.source_check import source_check_options

if run.config.local_downloads:

    localrules:
        images,
        check_source,


rule images:
    input:
        wells=lambda wildcards: run.plate_wells(wildcards.plate),
    output:
        images=temp(directory(run.files.images("{plate}"))),
        record=run.files.download("{plate}"),
        plan=run.files.download_plan("{plate}"),
    log:
        run.files.log("images/{plate}"),
    benchmark:
        run.files.benchmark("images/{plate}")
    conda:
        "../../envs/images.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=480,
        # Each of a plate's three jobs up to its tiles holds one, and later jobs go first: one that a finished download
        # frees is taken by the same plate's next job, so raw images of no more plates than this are on disk.
        plates_on_disk=1,
    params:
        source=run.options("s3"),
        machine=lambda wildcards, input: run.machine("s3"),
        known_bad=lambda wildcards: run.known_bad(wildcards.plate),
        # Asks for `input`, so that a finished plate is not fetched again: later steps leave the same cells out.
        leave_out=lambda wildcards, input: run.left_out.of([wildcards.plate]),
        wells=lambda wildcards: run.plate(wildcards.plate).wells,
        place=lambda wildcards: run.plate(wildcards.plate).place,
        channels=lambda wildcards: run.plate(wildcards.plate).channels,
        illumination=run.config.illumination,
        # No declared output: the downloads of a killed job must survive until the next attempt.
        state=run.files.state("images/{plate}"),
        code=lambda wildcards: run.code("images", libraries=False),
    script:
        "../scripts/images.py"


rule check_source:
    """Reads a few objects of each batch and compares channels, shape and pixel size with the config."""
    input:
        sheet=run.config.sheet or run.config.transfer.sheet,
        wells=run.files.wells if run.plates else [],
    output:
        table=run.files.source_check,
    log:
        run.files.log("check_source"),
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **source_check_options(run),
        options=run.plain["s3"],
        illumination=run.config.illumination,
        code=lambda wildcards: run.code("check_source"),
    script:
        "../scripts/check_source.py"
