from campfire.runs.pages import reported_plates


rule figure:
    input:
        unpack(lambda wildcards: results.inputs("figure", wildcards.figure)),
    output:
        report(
            results.files("figure", "{figure}")[0],
            caption="../report/result.rst",
            category=lambda wildcards: results.section("figure", wildcards.figure),
            labels=lambda wildcards: {
                "result": results.title("figure", wildcards.figure),
                "kind": "figure",
            },
        ),
        results.files("figure", "{figure}")[1:],
    log:
        run.files.log("figures/{figure}"),
    wildcard_constraints:
        figure="|".join(results.single_figures) or "none",
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        make=lambda wildcards: results.entry("figure", wildcards.figure).function,
        settings=lambda wildcards: results.settings("figure", wildcards.figure),
        code=lambda wildcards: results.code("figure", wildcards.figure),
        caption=lambda wildcards, input: results.caption("figure", wildcards.figure),
    script:
        "../scripts/figure.py"


rule plate_layout:
    """One job draws all plates: separate jobs would mostly wait for Python to start."""
    input:
        [files["quality"][0] for files, _ in results.family("plate_layout")],
    output:
        [
            (
                report(
                    path,
                    caption="../report/result.rst",
                    category=results.section("figure", "plate_layout"),
                    labels={
                        "result": results.title(
                            "figure", f"plate_layout/{Path(path).stem}"
                        ),
                        "kind": "figure",
                    },
                )
                if Path(path).stem in reported_plates(run)
                else path
            )
            for _, path in results.family("plate_layout")
        ],
        results.family_files("plate_layout"),
    log:
        run.files.log("figures/plate_layout"),
    conda:
        "../../envs/analysis.yaml"
    params:
        make=lambda wildcards: results.entry("figure", "plate_layout").function,
        settings=lambda wildcards: results.settings("figure", "plate_layout"),
        family=results.family("plate_layout"),
        code=lambda wildcards: results.code("figure", "plate_layout"),
        caption=lambda wildcards, input: results.caption("figure", "plate_layout"),
    script:
        "../scripts/figure.py"
