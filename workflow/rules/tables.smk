rule accuracies:
    input:
        run.probe_results(),
    output:
        report_table("accuracies"),
    log:
        log_file("tables/accuracies"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        options=table_options(),
        code=code("table_accuracies"),
    script:
        "../scripts/table_accuracies.py"


rule table_3_1:
    input:
        accuracies=result("tables/accuracies.csv"),
        differences=differences_file(),
    output:
        report_table("table_3_1"),
    log:
        log_file("tables/table_3_1"),
    conda:
        "../../envs/analysis.yaml"
    params:
        options=table_options(),
        code=code("table_3_1"),
    script:
        "../scripts/table_3_1.py"


rule table_3_2:
    input:
        accuracies=result("tables/accuracies.csv"),
        differences=differences_file(),
    output:
        report_table("table_3_2"),
    log:
        log_file("tables/table_3_2"),
    conda:
        "../../envs/analysis.yaml"
    params:
        options=table_options(),
        code=code("table_3_2"),
    script:
        "../scripts/table_3_2.py"


rule protocols:
    input:
        result("tables/accuracies.csv"),
    output:
        report_table("protocols"),
    log:
        log_file("tables/protocols"),
    conda:
        "../../envs/analysis.yaml"
    params:
        options=table_options(),
        code=code("table_protocols"),
    script:
        "../scripts/table_protocols.py"


rule leaks:
    input:
        expand(
            result("leaks/{encoder}/{channels}.parquet"),
            encoder=LEADING_ENCODERS,
            channels=ID_CHANNELS,
        ),
    output:
        report_table("leaks"),
    log:
        log_file("tables/leaks"),
    conda:
        "../../envs/analysis.yaml"
    params:
        options=table_options(),
        code=code("table_leaks"),
    script:
        "../scripts/table_leaks.py"


rule profiles:
    input:
        expand(
            result("profiles/{encoder}/{channels}.parquet"),
            encoder=LEADING_ENCODERS,
            channels=ID_CHANNELS,
        ),
    output:
        profiles=report_table("profiles"),
        variance=report_table("variance"),
    log:
        log_file("tables/profiles"),
    conda:
        "../../envs/analysis.yaml"
    params:
        options=table_options(),
        code=code("table_profiles"),
    script:
        "../scripts/table_profiles.py"


rule differences:
    input:
        run.probe_results(),
    output:
        report_table("differences"),
    log:
        log_file("tables/differences"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        options=table_options(),
        code=code("table_differences"),
    script:
        "../scripts/table_differences.py"


rule gaps:
    input:
        run.probe_results(),
    output:
        report_table("gaps"),
    log:
        log_file("tables/gaps"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        options=table_options(),
        code=code("table_gaps"),
    script:
        "../scripts/table_gaps.py"


rule quadrants:
    input:
        result("split/wells.parquet"),
    output:
        report_table("quadrants"),
    log:
        log_file("tables/quadrants"),
    conda:
        "../../envs/analysis.yaml"
    params:
        protocol=config["split"]["protocol"],
        code=code("table_quadrants"),
    script:
        "../scripts/table_quadrants.py"


rule losses:
    input:
        result("losses/counts.parquet"),
    output:
        report_table("losses"),
    log:
        log_file("tables/losses"),
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code("table_losses"),
    script:
        "../scripts/table_losses.py"


rule transfer_table:
    input:
        expand(result("transfer/{encoder}/zprime.parquet"), encoder=TRANSFER_ENCODERS),
    output:
        report_table("transfer"),
    log:
        log_file("tables/transfer"),
    conda:
        "../../envs/analysis.yaml"
    params:
        options=table_options(),
        code=code("table_transfer"),
    script:
        "../scripts/table_transfer.py"


rule findings:
    input:
        TABLES,
        FIGURES,
    output:
        report_entry(result("findings.html"), "findings", "page"),
    log:
        log_file("findings"),
    conda:
        "../../envs/analysis.yaml"
    params:
        options=table_options(),
        title=f"Findings ({config['results']})",
        code=code("findings"),
    script:
        "../scripts/findings.py"
