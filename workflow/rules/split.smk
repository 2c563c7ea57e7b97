from campfire.runs.contents import contents


rule assign_wells:
    input:
        sheet=run.config.sheet or [],
        wells=run.files.metadata("well"),
        compounds=run.structures(),
    output:
        wells=run.files.wells,
        plates=[
            run.files.plate_wells(plate) for plate in run.split_sheet["Metadata_Plate"]
        ],
    log:
        run.files.log("split"),
    conda:
        "../../envs/images.yaml"
    params:
        options=run.options("split"),
        sheet=lambda wildcards: contents([run.config.sheet]),
        code=lambda wildcards: run.code("split"),
    script:
        "../scripts/split.py"
