"""What an encoder needs, and the files of its embeddings."""


def encoder_weights(encoder):
    """The weight file that an encoder reads, if it is a file."""
    spec = config["encoders"][encoder]
    if spec["kind"] == "pretrained" and "run" in spec:
        return result(f"pretrain/{spec['run']}/model.safetensors")
    if spec["kind"] == "untrained" and "run" in spec:
        return weight_files([run_options(spec["run"]).get("imagenet")])
    return weight_files([spec.get("weights")])


def own_code(encoder):
    """Digest of the file of one's own encoder, so that an edit embeds again; "" for other encoders."""
    path = own_module(config["encoders"][encoder])
    return syntax_digest(path) if path and path.is_file() else ""


def encoder_spec(encoder):
    """What the library needs to build an encoder: weights for a trained one, the run's model for its untrained twin."""
    spec = in_order(config["encoders"][encoder])
    if spec["kind"] == "pretrained" and "run" in spec:
        spec["weights"] = encoder_weights(encoder)
    if spec["kind"] == "untrained" and "run" in spec:
        run = run_options(spec["run"])
        spec |= {"model": run["model"], "seed": run["seed"]}
        spec["imagenet"] = run.get("imagenet", "")
        spec["normalisation"] = run.get("augmentation", {}).get("normalisation", "tile")
    return spec


def embed_params(script):
    """Parameters of the two embedding rules."""
    return {
        "spec": lambda wildcards: encoder_spec(wildcards.encoder),
        "channels": lambda wildcards: config["channel_sets"][wildcards.channels],
        "cells": config["embed"]["cells"],
        "machine": how("embed", lambda wildcards: config["embed"]),
        # Finished plates are kept here, so that a killed or widened job embeds only what is missing.
        "state": lambda wildcards: result(
            f"state/embed/{wildcards.encoder}/{wildcards.channels}"
        ),
        "code": lambda wildcards: " ".join(
            filter(None, [code(script)(wildcards), own_code(wildcards.encoder)])
        ),
    }


def embedding_files(encoder, channels, plates=None):
    """One embedding file per plate, of the evaluation plates unless others are named."""
    plates = EVALUATION_PLATES if plates is None else plates
    return [
        result(f"embeddings/{encoder}/{channels}/{plate}.parquet") for plate in plates
    ]


def transfer_embeddings(encoder):
    """The embedding files of the transfer screen."""
    return embedding_files(encoder, config["transfer"]["channel_set"], TRANSFER_PLATES)
