rule pack_bundle:
    input:
        files=bundle_files(run),
        sheets=[config["sheet"] or [], config["transfer"]["sheet"] or []],
    output:
        result("bundle.tar"),
    log:
        log_file("bundle"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        upstream=upstream_files(run),
        stages=lambda wildcards: results.digests(),
        code=code("bundle"),
    script:
        "../scripts/bundle.py"
