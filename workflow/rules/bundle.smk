from campfire.runs.bundled import bundle_files, upstream_files


rule pack_bundle:
    input:
        files=bundle_files(run),
        sheets=[
            run.config.sheet or [],
            run.config.transfer.sheet or [],
        ],
    output:
        run.files.bundle,
    log:
        run.files.log("bundle"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        upstream=upstream_files(run),
        stages=lambda wildcards: results.digests(),
        code=lambda wildcards: run.code("bundle"),
    script:
        "../scripts/bundle.py"
