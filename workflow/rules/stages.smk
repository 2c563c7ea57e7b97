"""The stages in their order. `start_from: embeddings` leaves out those that need images, torch, a GPU or the network."""

if not run.from_embeddings:

    include: "metadata.smk"
    include: "split.smk"
    include: "images.smk"
    include: "nuclei.smk"
    include: "tiles.smk"
    include: "sample.smk"
    include: "pretrain.smk"
    include: "ablation.smk"
    include: "embed.smk"
    include: "head.smk"
    include: "bundle.smk"


include: "probe.smk"
include: "zprime.smk"
include: "tables.smk"
include: "figures.smk"
include: "provenance.smk"
