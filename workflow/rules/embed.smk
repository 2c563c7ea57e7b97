rule embed:
    input:
        cells=result("sample/cells.parquet"),
        tiles=expand(result("tiles/{plate}.npy"), plate=EVALUATION_PLATES),
        index=expand(result("tiles/{plate}.parquet"), plate=EVALUATION_PLATES),
        weights=lambda wildcards: encoder_weights(wildcards.encoder),
    output:
        expand(
            result("embeddings/{{encoder}}/{{channels}}/{plate}.parquet"),
            plate=EVALUATION_PLATES,
        ),
    log:
        log_file("embed/{encoder}/{channels}"),
    benchmark:
        benchmark_file("embed/{encoder}/{channels}")
    conda:
        "../../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=16000,
        runtime=480,
    params:
        **embed_params("embed"),
    script:
        "../scripts/embed.py"


use rule embed as embed_transfer with:
    input:
        cells=result("sample/transfer.parquet"),
        tiles=expand(result("tiles/{plate}.npy"), plate=TRANSFER_PLATES),
        index=expand(result("tiles/{plate}.parquet"), plate=TRANSFER_PLATES),
        weights=lambda wildcards: encoder_weights(wildcards.encoder),
    output:
        expand(
            result("embeddings/{{encoder}}/{{channels}}/{plate}.parquet"),
            plate=TRANSFER_PLATES,
        ),
    log:
        log_file("embed_transfer/{encoder}/{channels}"),
    benchmark:
        benchmark_file("embed_transfer/{encoder}/{channels}")
