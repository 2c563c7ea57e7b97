rule provenance:
    input:
        provenance_files(),
    output:
        report(
            result("provenance.json"),
            caption="../report/provenance.rst",
            category="9 Provenance",
        ),
    log:
        log_file("provenance"),
    conda:
        "../../envs/analysis.yaml"
    params:
        stages=stage_digests,
        config=counted_config(),
        code=code("provenance"),
    script:
        "../scripts/provenance.py"
