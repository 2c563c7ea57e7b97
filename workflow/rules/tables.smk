from campfire.runs.pages import page_parameters, page_plates


rule table:
    input:
        unpack(lambda wildcards: results.inputs("table", wildcards.table)),
    output:
        report(
            results.files("table", "{table}")[0],
            caption="../report/result.rst",
            category=lambda wildcards: results.section("table", wildcards.table),
            labels=lambda wildcards: {
                "result": results.title("table", wildcards.table),
                "kind": "table",
            },
        ),
        results.files("table", "{table}")[1:],
    log:
        run.files.log("tables/{table}"),
    wildcard_constraints:
        table="|".join(results.tables) or "none",
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        make=lambda wildcards: results.entry("table", wildcards.table).function,
        settings=lambda wildcards: results.settings("table", wildcards.table),
        code=lambda wildcards: results.code("table", wildcards.table),
        # It takes `input`, so that a change of wording does not remake the table.
        caption=lambda wildcards, input: results.caption("table", wildcards.table),
    script:
        "../scripts/table.py"


rule findings:
    input:
        results.table_files,
        results.figure_files,
    output:
        report(
            run.files.findings,
            caption="../report/findings.rst",
            category="1 Findings",
            labels={"result": "Findings", "kind": "page"},
        ),
    log:
        run.files.log("findings"),
    conda:
        "../../envs/analysis.yaml"
    params:
        settings=results.page_settings("Findings"),
        code=lambda wildcards: run.code("findings"),
    script:
        "../scripts/findings.py"


rule write_page:
    input:
        results.table_files,
        results.figure_files,
        [list(files.values()) for _, files in page_plates(run)],
        wells=run.files.wells if run.plates else [],
    output:
        run.files.page,
        [run.files.page_plate(facts["plate"]) for facts, _ in page_plates(run)],
    log:
        run.files.log("page"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **page_parameters(results),
        code=lambda wildcards: run.code("page"),
    script:
        "../scripts/page.py"
