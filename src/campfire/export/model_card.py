"""The model card of a pretraining run: data, protocol, results with intervals, limits, licence. Markdown."""

from typing import Any

import pandas as pd
import yaml

from campfire.export.finished import Finished

TAGS = ["cell-painting", "fluorescence-microscopy", "masked-autoencoder", "self-supervised"]
PAPER = "Out-of-distribution evaluations of channel agnostic masked autoencoders in fluorescence microscopy"
KNOWN_CHANNELS_ONLY = ("channelvit",)
"""Families whose encoder takes no channel that it was not trained on."""


def model_card(
    run: Finished, header: dict[str, Any], accuracies: pd.DataFrame, digest: str, licence: str, name: str
) -> str:
    """The text of the card; its front matter is what model hubs read.

    header: of the weight file. accuracies: rows of the run's table of accuracies, with the column `kind`. digest:
    SHA-256 of the run's weight file.
    """
    front: dict[str, Any] = {
        "license": licence.lower(),  # the hub knows lower-case names
        "library_name": "campfire",
        "pipeline_tag": "image-feature-extraction",
        "tags": TAGS,
        "model_name": name,
    }
    if results := _model_index(accuracies):
        front["model-index"] = [{"name": name, "results": results}]
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {name}\n\n{_what(run, header)}",
        f"## Use\n\n{_use(header)}",
        f"## Training data\n\n{_data(run, header)}",
        f"## Training\n\n{_training(header)}",
        f"## Evaluation\n\n{_evaluation(run, accuracies)}",
        f"## Limits\n\n{_limits(run, header, accuracies)}",
        f"## Licence\n\nThe weights: {licence}. The software that reads them: BSD-3-Clause.{_start_licence(header)}",
        f"## Provenance\n\n{_provenance(run, header, digest)}",
    ]
    return "\n\n".join(parts) + "\n"


def _model_index(accuracies: pd.DataFrame) -> list[dict[str, Any]]:
    """Accuracies of the trained encoder in the form of a model index."""
    trained = accuracies[accuracies["kind"] == "pretrained"] if len(accuracies) else accuracies
    results = []
    for row in trained.to_dict("records"):
        metric = {"type": "accuracy", "name": "Accuracy of a linear probe on cells", "value": round(row["accuracy"], 6)}
        if pd.notna(row["low"]):
            metric["args"] = {"interval": [round(row["low"], 6), round(row["high"], 6)], "level": row["level"]}
        results.append(
            {
                "task": {"type": "image-classification", "name": f"compound of a cell, protocol {row['protocol']}"},
                "dataset": {"type": "campfire-split", "name": row["channel_label"], "split": row["split"]},
                "metrics": [metric],
            }
        )
    return results


def _what(run: Finished, header: dict[str, Any]) -> str:
    from campfire.model import ModelConfig

    model, size = ModelConfig(**header["model"]), run.config.get("pixel_size_um")
    scale = f" ({model.image_size * size:.1f} µm at {size:g} µm a pixel)" if size else ""
    return (
        f"A masked autoencoder of the family `{model.family}` for single cells in fluorescence microscopy, after "
        f"“{PAPER}”. Its encoder (depth {model.encoder_depth}, width {model.encoder_width}) turns a tile of "
        f"{model.image_size} x {model.image_size} px{scale} around a nucleus into an embedding."
    )


def _use(header: dict[str, Any]) -> str:
    channels = ", ".join(f'"{channel}"' for channel in header["channels"])
    size = header["model"]["image_size"]
    return (
        "```python\nimport campfire\n\n"
        'encoder = campfire.load_encoder({"kind": "pretrained", "weights": "model.safetensors"})\n'
        f"# tiles: torch tensor (N, C, {size}, {size}) of camera counts, float32; the encoder scales them itself\n"
        f"embeddings = encoder.embed(tiles, [{channels}])\n```\n\n"
        f"Tiles are scaled as in training (`{header['normalisation']}`)."
    )


def _data(run: Finished, header: dict[str, Any]) -> str:
    plates = list(header.get("plates", []))
    wells = run.wells
    sources = sorted(wells.loc[wells["Metadata_Plate"].isin(plates), "Metadata_Source"].unique())
    lines = [
        f"- Channels: {', '.join(header['channels'])}.",
        f"- Tiles: {header['train_tiles']:,}." if header.get("train_tiles") else "",
        f"- Plates: {len(plates)} of {', '.join(sources) or 'unnamed sources'}: {', '.join(plates)}." if plates else "",
        f"- Split: protocol `{run.config['split']['protocol']}`; out-of-distribution plates were not used in training.",
    ]
    return "\n".join(filter(None, lines))


def _training(header: dict[str, Any]) -> str:
    options = header.get("options", {})
    known = (
        ("epochs", "epochs"), ("global_batch", "tiles in a batch"), ("learning_rate", "highest learning rate"),
        ("weight_decay", "weight decay"), ("warmup_epochs", "warm-up epochs"),
    )  # fmt: skip
    lines = [f"- {text}: {options[key]:g}" for key, text in known if key in options]
    lines.append(f"- fraction of patches masked: {header['model']['mask_ratio']:g}")
    lines.append(f"- optimiser steps: {header['steps']:,}" if header.get("steps") else "")
    lines.append(f"- seed: {header['seed']}" if "seed" in header else "")
    lines.append(f"- initial weights: {header.get('imagenet') or 'random'}")
    return "\n".join(filter(None, lines))


def _evaluation(run: Finished, accuracies: pd.DataFrame) -> str:
    if not len(accuracies):
        return "The run that made these weights did not evaluate them."
    rows = [
        "| Encoder | Channels | Protocol | Quadrant | Accuracy [interval] | Chance | Wells |",
        "|:--|:--|:--|:--|--:|--:|--:|",
    ]
    for row in accuracies.to_dict("records"):
        bounds = f" [{row['low']:.3f}, {row['high']:.3f}]" if pd.notna(row["low"]) else " (too few wells)"
        rows.append(
            f"| {row['label']} | {row['channel_label']} | {row['protocol']} | {row['quadrant']} "
            f"| {row['accuracy']:.3f}{bounds} | {row['chance']:.3f} | {row['n_wells']} |"
        )
    level = 100 * float(accuracies["level"].iloc[0])
    return (
        "Linear probes on embeddings of single cells name the cell's compound, in the quadrants of the paper's Table "
        f"3.1 (ID: in distribution, OOD: out of it). Split protocol `{run.config['split']['protocol']}`; "
        f"{level:g} % intervals over wells.\n\n" + "\n".join(rows)
    )


def _limits(run: Finished, header: dict[str, Any], accuracies: pd.DataFrame) -> str:
    lines = []
    channels = ", ".join(header["channels"])
    if header["model"]["family"] in KNOWN_CHANNELS_ONLY:
        lines.append(f"Trained on {channels}; this family takes no other channels.")
    else:
        lines.append(f"Trained on {channels}. It takes other channels too; evaluate it on them before relying on it.")
    if size := run.config.get("pixel_size_um"):
        lines.append(f"Trained at {size:g} µm a pixel; resample images of another pixel size.")
    lines.append("Accuracies hold for the screen they were measured on; other sites, cell types and stains may differ.")
    trained = accuracies[accuracies["kind"] == "pretrained"] if len(accuracies) else accuracies
    if len(trained):
        few = trained[trained["low"].isna()]
        near = trained[trained["low"] <= trained["chance"]]
        if len(few):
            lines.append(f"{len(few)} of {len(trained)} accuracies rest on too few wells for an interval.")
        if len(near):
            lines.append(f"{len(near)} of {len(trained)} accuracies cannot be told from chance.")
    lines.append("For research only, not for diagnosis.")
    return "\n".join(f"- {line}" for line in lines)


def _start_licence(header: dict[str, Any]) -> str:
    start = header.get("imagenet")
    return f" Training started from {start}, whose own licence applies as well." if start else ""


def _provenance(run: Finished, header: dict[str, Any], digest: str) -> str:
    lines = {
        "software": header.get("software", ""), "torch": header.get("torch", ""), "commit": run.record["commit"],
        "config digest": run.record["config"].get("digest", ""), "digest of the training tiles": header.get("data", ""),
        "SHA-256 of the run's weights": digest,
    }  # fmt: skip
    return "\n".join(f"- {name}: `{value}`" for name, value in lines.items() if value)
