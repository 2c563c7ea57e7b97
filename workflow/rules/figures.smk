rule figure_2_1:
    input:
        result("split/wells.parquet"),
    output:
        report_figure("figure_2_1"),
    log:
        log_file("figures/figure_2_1"),
    conda:
        "../../envs/analysis.yaml"
    params:
        controls=config["split"]["controls"],
        plate_type=run.evaluation_type,
        code=code("figure_2_1"),
    script:
        "../scripts/figure_2_1.py"


rule figure_3_3:
    input:
        pretrained_files("snapshots.npz")[:1],
    output:
        report_figure("figure_3_3"),
    log:
        log_file("figures/figure_3_3"),
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code("figure_3_3"),
    script:
        "../scripts/figure_3_3.py"


rule figure_3_4:
    input:
        result("tables/accuracies.csv"),
    output:
        report_figure("figure_3_4"),
    log:
        log_file("figures/figure_3_4"),
    conda:
        "../../envs/analysis.yaml"
    params:
        options=table_options(),
        encoder=[*PAIRS, ("",)][0][0],
        channel_sets=figure_3_4_sets(),
        code=code("figure_3_4"),
    script:
        "../scripts/figure_3_4.py"


rule figure_3_5:
    input:
        expand(result("transfer/{encoder}/zprime.parquet"), encoder=TRANSFER_ENCODERS),
    output:
        report_figure("figure_3_5"),
    log:
        log_file("figures/figure_3_5"),
    conda:
        "../../envs/analysis.yaml"
    params:
        labels=config["tables"]["labels"],
        code=code("figure_3_5"),
    script:
        "../scripts/figure_3_5.py"


rule training_curves:
    input:
        pretrained_files("metrics.parquet"),
    output:
        report_figure("training_curves"),
    log:
        log_file("figures/training_curves"),
    conda:
        "../../envs/analysis.yaml"
    params:
        labels=config["tables"]["labels"],
        code=code("training_curves"),
    script:
        "../scripts/training_curves.py"


rule ood_gap:
    input:
        result("tables/gaps.csv"),
    output:
        report_figure("ood_gap"),
    log:
        log_file("figures/ood_gap"),
    conda:
        "../../envs/analysis.yaml"
    params:
        options=table_options(),
        code=code("ood_gap"),
    script:
        "../scripts/ood_gap.py"


rule claims:
    input:
        result("tables/differences.csv"),
    output:
        report_figure("claims"),
    log:
        log_file("figures/claims"),
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code("claims"),
    script:
        "../scripts/claims.py"


rule confusion:
    input:
        expand(
            result("probes/{encoder}/{channels}/predictions.parquet"),
            encoder=LEADING_ENCODERS[:1],
            channels=ID_CHANNELS,
        ),
    output:
        report_figure("confusion"),
    log:
        log_file("figures/confusion"),
    conda:
        "../../envs/analysis.yaml"
    params:
        protocol=config["tables"]["protocol"],
        code=code("confusion"),
    script:
        "../scripts/confusion.py"


rule beyond:
    input:
        profiles=result("tables/profiles.csv"),
        variance=result("tables/variance.csv"),
    output:
        report_figure("beyond"),
    log:
        log_file("figures/beyond"),
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code("beyond"),
    script:
        "../scripts/beyond.py"


rule plate_layout:
    input:
        [result(f"quality/{Path(name).name}.parquet") for name in PLATE_LAYOUTS],
    output:
        [report_figure(name) for name in PLATE_LAYOUTS],
    log:
        log_file("figures/plate_layout"),
    conda:
        "../../envs/analysis.yaml"
    params:
        figures=[result(f"figures/{name}") for name in PLATE_LAYOUTS],
        code=code("plate_layout"),
    script:
        "../scripts/plate_layout.py"
