import re

from campfire.runs.pages import reported_plates


rule cut_tiles:
    input:
        images=run.files.images("{plate}"),
        nuclei=run.files.nuclei("{plate}"),
        quality=run.files.quality("{plate}"),
    output:
        tiles=run.files.tiles("{plate}"),
        index=run.files.tile_index("{plate}"),
    log:
        run.files.log("tiles/{plate}"),
    benchmark:
        run.files.benchmark("tiles/{plate}")
    priority: 20
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
        plates_on_disk=1,
    params:
        channels=lambda wildcards: run.plate(wildcards.plate).channels,
        pixel_size_um=lambda wildcards: run.plate(wildcards.plate).pixel_size_um,
        tiles=run.options("tiles"),
        illumination=run.config.illumination,
        illumination_offset=run.config.illumination_offset,
        code=lambda wildcards: run.code("tiles"),
    script:
        "../scripts/tiles.py"


rule contact_sheet:
    """Chosen sites of a plate with the outlines of their nuclei, and small pictures of its sites and cells for the
    page, drawn before its images are removed.

    All parameters ask for `input`: on their own they remake no sheet, which would fetch a plate for a picture. A sheet
    is drawn again when the plate's nuclei are.
    """
    input:
        images=run.files.images("{plate}"),
        nuclei=run.files.nuclei("{plate}"),
        quality=run.files.quality("{plate}"),
    output:
        run.files.contact_sheet("{plate}"),
        # Of plates drawn before there was a page they are not requested.
        **run.files.page_pictures("{plate}"),
    log:
        run.files.log("contact_sheet/{plate}"),
    # Before the plate's tiles: a picture takes seconds, and nothing else then waits for these images.
    priority: 30
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
        plates_on_disk=1,
    params:
        channels=lambda wildcards, input: run.plate(wildcards.plate).channels,
        pixel_size_um=lambda wildcards, input: run.plate(wildcards.plate).pixel_size_um,
        nuclei=lambda wildcards, input: run.plate(wildcards.plate).nuclei_options(
            run.options("nuclei"), run.config
        ),
        machine=lambda wildcards, input: run.machine("nuclei"),
        illumination=lambda wildcards, input: run.config.illumination,
        illumination_offset=lambda wildcards, input: run.config.illumination_offset,
        caption=lambda wildcards, input: results.caption("figure", "contact_sheet"),
    script:
        "../scripts/contact_sheet.py"


ruleorder: contact_sheet_in_report > contact_sheet


use rule contact_sheet as contact_sheet_in_report with:
    """The same for the few plates that the report shows: it holds its pictures, and would grow with every plate."""
    output:
        report(
            run.files.contact_sheet("{plate}"),
            caption="../report/result.rst",
            category=results.section("figure", "contact_sheet"),
            labels={
                "result": results.title("figure", "contact_sheet/{plate}"),
                "kind": "figure",
            },
        ),
        **run.files.page_pictures("{plate}"),
    wildcard_constraints:
        plate="|".join(map(re.escape, reported_plates(run))) or "none",
