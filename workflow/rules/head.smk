"""Well embeddings of the transfer screen: through a trained head, or without one where `transfer.head` is null."""

if run.config.transfer.head is None:

    rule transfer_means:
        input:
            sheet=run.config.transfer.sheet or [],
            embeddings=lambda wildcards: run.transfer_embeddings(wildcards.encoder),
        output:
            wells=run.files.transfer_wells("{encoder}"),
        log:
            run.files.log("transfer/{encoder}/means"),
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=8000,
            runtime=60,
        params:
            sheet=lambda wildcards: contents([run.config.transfer.sheet]),
            code=lambda wildcards: run.code("transfer_means"),
        script:
            "../scripts/transfer_means.py"

else:

    rule transfer_head:
        input:
            sheet=run.config.transfer.sheet or [],
            embeddings=lambda wildcards: run.transfer_embeddings(wildcards.encoder),
        output:
            wells=run.files.transfer_wells("{encoder}"),
            head=run.files.transfer_head("{encoder}"),
        log:
            run.files.log("transfer/{encoder}/head"),
        benchmark:
            run.files.benchmark("transfer/{encoder}")
        retries: 1
        conda:
            "../../envs/torch.yaml"
        threads: 2
        resources:
            mem_mb=8000,
            runtime=240,
        params:
            options=run.options("transfer.head"),
            sheet=lambda wildcards: contents([run.config.transfer.sheet]),
            machine=lambda wildcards, input: run.machine("transfer.head"),
            state=run.files.state("transfer/{encoder}"),
            code=lambda wildcards: run.code("transfer_head"),
        script:
            "../scripts/transfer_head.py"
