from campfire.runs.results import recorded_files


rule provenance:
    input:
        recorded_files(results),
    output:
        report(
            run.files.provenance,
            caption="../report/provenance.rst",
            category="Provenance",
        ),
    log:
        run.files.log("provenance"),
    conda:
        "../../envs/analysis.yaml"
    params:
        stages=lambda wildcards: results.digests(),
        config=run.counted_config(),
        code=lambda wildcards: run.code("provenance"),
    script:
        "../scripts/provenance.py"
