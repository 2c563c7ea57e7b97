"""Config checks, names of files, and the small functions that rules use. No rules here."""

import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from campfire.configuration import read_yaml, validate
from campfire.errors import CampfireError
from campfire.metadata import empty_sheet, read_sheet
from campfire.pretrain import result_values
from campfire.reach import code_state

SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"


def result(path):
    """A path below the results root."""
    return f"{config['results']}/{path}"


def log_file(path):
    """A path below the logs root."""
    return f"{config['logs']}/{path}.log"


def benchmark_file(path):
    """A path below the results root's benchmarks."""
    return result(f"benchmarks/{path}.tsv")


def code(script, libraries=True):
    """Digest of a script and of all library code it reaches, and versions of the libraries that this code uses.

    As a parameter it reruns what an edit affects. It is computed for planned jobs only: every job reads the whole
    workflow, and parsing all scripts costs a second.
    """
    return lambda wildcards: code_state(SCRIPTS / f"{script}.py", libraries)


S3_SOURCE = {"bucket", "prefix", "folder"}
HOW = {
    "s3": lambda name: name not in S3_SOURCE,
    "nuclei": {"device", "batch_size", "sites_per_batch"}.__contains__,
    "embed": {"batch_size"}.__contains__,
    "transfer.head": {"checkpoint_every"}.__contains__,
}
"""Of each section, the options that say how a machine does the work and leave the result as it is."""


def what(section, options):
    """The options that decide what comes out; the order of keys does not count."""
    if options is None:
        return None
    is_how = HOW.get(section, lambda name: False)
    return in_order({k: v for k, v in options.items() if not is_how(k)})


def how(section, options):
    """The other options, as a parameter that is no reason to run again.

    Snakemake compares with the last run only parameters that do not ask for `input`; these ask and look not.
    """
    return lambda wildcards, input: {
        k: v for k, v in options(wildcards).items() if HOW[section](k)
    }


def counted_config():
    """The config without what only says how a machine works and where things are put."""
    counted = {k: v for k, v in config.items() if k not in ("logs", "results", "redo")}
    runs = {run: run_options(run) for run in config["pretrain"]["runs"]}
    counted["pretrain"] = {**config["pretrain"], "runs": runs}
    counted["transfer"] = {
        **config["transfer"],
        "head": what("transfer.head", config["transfer"]["head"]),
    }
    counted |= {name: what(name, config[name]) for name in ("s3", "nuclei", "embed")}
    return in_order(counted)


def in_order(value):
    """A value whose mappings list their keys in order."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return value


def checked_transfer_sheet():
    """The wells of the transfer screen, if there is one."""
    if not config["transfer"]["sheet"]:
        return None
    from campfire.transfer.sheet import check_trainable, read_sheet

    sheet = read_sheet(config["transfer"]["sheet"])
    if config["transfer"]["head"] is not None:
        check_trainable(sheet, config["transfer"]["sheet"])
    return sheet


def checked_sheets():
    """Validate the config, then the sheets and names it refers to; any mistake ends the run with its remedy."""
    try:
        validate(
            config,
            read_yaml(Path(workflow.basedir) / "workflow/schemas/config.schema.yaml"),
        )
        sheet = read_sheet(config["sheet"]) if config["sheet"] else empty_sheet()
        return sheet, checked_transfer_sheet()
    except CampfireError as error:
        raise WorkflowError(str(error)) from None


def check_names():
    """Names that refer to each other inside the config must exist; say which do."""
    known = {"channels": set(config["channels"]), "encoder": set(config["encoders"])}
    known |= {
        "channel set": set(config["channel_sets"]),
        "run": set(config["pretrain"]["runs"]),
    }
    # Sets that are not evaluated do not matter: they may be the default config's, and a transfer screen has its own.
    evaluated = {s for entry in config["evaluate"] for s in entry["channel_sets"]}
    used = [
        ("channels", c, f"channel_sets.{s}")
        for s, cs in config["channel_sets"].items()
        for c in cs
        if s in evaluated
    ]
    used += [("channels", c, "training_channels") for c in config["training_channels"]]
    used += [("encoder", e["encoder"], "evaluate") for e in config["evaluate"]]
    used += [
        ("channel set", c, f"evaluate.{e['encoder']}")
        for e in config["evaluate"]
        for c in e["channel_sets"]
    ]
    used += [
        ("encoder", e, "transfer.encoders") for e in config["transfer"]["encoders"]
    ]
    used += [("channel set", config["transfer"]["channel_set"], "transfer.channel_set")]
    used += [("run", config["pretrain"]["ablation"]["run"], "pretrain.ablation")]
    used += [
        ("run", e["run"], f"encoders.{n}")
        for n, e in config["encoders"].items()
        if "run" in e
    ]
    for name, spec in config["encoders"].items():
        if spec["kind"] == "pretrained" and ("run" in spec) == ("weights" in spec):
            raise WorkflowError(
                f"config: encoder {name}: give either `run`, a pretraining run of this config, or `weights`, a file"
            )
    if config["evaluate"] and not config["sheet"]:
        raise WorkflowError(
            "config: `evaluate` needs a `sheet` of plates; for a transfer screen alone set `evaluate: []`"
        )
    for kind, name, place in used:
        if name not in known[kind]:
            raise WorkflowError(
                f"config: unknown {kind} `{name}` in {place}; known: {', '.join(sorted(known[kind]))}"
            )


SHEET, TRANSFER_SHEET = checked_sheets()
check_names()
FROM_EMBEDDINGS = config["start_from"] == "embeddings"

PLATES = SHEET["Metadata_Plate"].tolist()
TRANSFER_PLATES = (
    [] if TRANSFER_SHEET is None else sorted(TRANSFER_SHEET["Metadata_Plate"].unique())
)
EVALUATION_PLATES = SHEET.loc[
    SHEET["role"].isin(["id", "ood"]), "Metadata_Plate"
].tolist()

PAIRS = [
    (entry["encoder"], channels)
    for entry in config["evaluate"]
    for channels in entry["channel_sets"]
]
TRANSFER_ENCODERS = config["transfer"]["encoders"] if TRANSFER_PLATES else []
USED_ENCODERS = dict.fromkeys([encoder for encoder, _ in PAIRS] + TRANSFER_ENCODERS)
RUNS = list(
    dict.fromkeys(
        config["encoders"][e]["run"]
        for e in USED_ENCODERS
        if config["encoders"][e]["kind"] == "pretrained"
        and "run" in config["encoders"][e]
    )
)

STAGES_BY_PLATE = (
    "images|download|nuclei|quality|tiles|embeddings/[^/]+/[^/]+|figures/plate_layout"
)


def check_targets():
    """A file of a plate that is in no sheet is answered with the plates that are."""
    pattern = rf"{re.escape(config['results'])}/(?:{STAGES_BY_PLATE})/([^/.]+)(?:\..+)?"
    for target in sys.argv[1:]:
        match = re.fullmatch(pattern, target)
        if match and match[1] not in {*PLATES, *TRANSFER_PLATES}:
            known = ", ".join([*PLATES, *TRANSFER_PLATES][:5])
            raise WorkflowError(
                f"{target}: plate {match[1]} is not in {config['sheet'] or config['transfer']['sheet']}; "
                f"it has {known}, ..."
            )


def weight_files(choices):
    """The files among choices of weights; the others are names (hub, random) or nothing."""
    return [
        weights for weights in choices if weights not in (None, "", "hub", "random")
    ]


def run_options(run):
    """Options of a pretraining run that its result depends on."""
    values = {
        "channels": config["training_channels"],
        **config["pretrain"]["runs"][run],
    }
    return result_values(values)


def check_weights():
    """Weight files that encoders name must be there before anything starts."""
    for encoder in USED_ENCODERS:
        weights = config["encoders"][encoder].get("weights")
        if not all(map(Path.is_file, map(Path, weight_files([weights])))):
            raise WorkflowError(
                f"encoder {encoder}: no weights at {weights}; put the file there, or for timm set "
                "`weights: hub` to load it from the model hub (docs/encoders.md says where weights come from)"
            )
    starts = {f"pretrain.runs.{run}": run_options(run).get("imagenet") for run in RUNS}
    if "ablation" in sys.argv[1:]:
        sizes = config["pretrain"]["ablation"]["imagenet"]
        starts |= {f"pretrain.ablation.imagenet.{s}": w for s, w in sizes.items()}
    for place, weights in starts.items():
        if not all(map(Path.is_file, map(Path, weight_files([weights])))):
            raise WorkflowError(
                f"{place}: no ImageNet weights at {weights}; put the file there, or set `hub` to load them from the "
                "model hub, or leave it empty for random initial weights (docs/encoders.md)"
            )


def check_lock():
    """Say in words what a lock means, before Snakemake refuses to start."""
    if workflow.is_main_process and not {"-n", "--dry-run", "--dryrun", "--unlock"} & {
        *sys.argv
    }:
        from snakemake.logging import logger

        from campfire.orphans import explain_lock

        explanation = explain_lock()
        if explanation:
            logger.error(explanation)


check_targets()
check_lock()
if not FROM_EMBEDDINGS:
    check_weights()


def plate_place(plate):
    """Source, batch and plate of a plate of either sheet."""
    sheet = SHEET if plate in set(PLATES) else TRANSFER_SHEET
    row = sheet[sheet["Metadata_Plate"] == plate].iloc[0]
    return {
        key: row[f"Metadata_{key.capitalize()}"] for key in ("source", "batch", "plate")
    }


def plate_wells(plate):
    """The file that says which wells of a plate are used, so that only a plate's own wells matter to it."""
    return result(f"split/plates/{plate}.tsv") if plate in set(PLATES) else []


def transfer_wells(plate):
    """The wells of a plate of the transfer screen; [] for other plates."""
    if plate in set(PLATES):
        return []
    return TRANSFER_SHEET.loc[
        TRANSFER_SHEET["Metadata_Plate"] == plate, "Metadata_Well"
    ].tolist()


def known_bad(plate):
    """The known bad objects of a plate, so that what is learnt of one plate leaves the others alone."""
    from campfire.gallery import read_known_bad

    try:
        listed = read_known_bad(config["known_bad"])
    except CampfireError as error:
        raise WorkflowError(str(error)) from None
    place = plate_place(plate)
    folder = f"{config['s3']['prefix']}/{place['source']}/images/{place['batch']}/images/{plate}"
    return {
        key: reason
        for key, reason in sorted(listed.items())
        if plate in key or (key.endswith("/") and folder.startswith(key))
    }


def plate_channels(plate):
    """The channels a plate needs: training plates only those that pretraining sees, evaluation plates all."""
    if plate in set(TRANSFER_PLATES):
        return config["channel_sets"][config["transfer"]["channel_set"]]
    return (
        config["channels"]
        if plate in set(EVALUATION_PLATES)
        else config["training_channels"]
    )


def plate_pixel_size(plate):
    """Pixel size in micrometres."""
    return (
        config["pixel_size_um"]
        if plate in set(PLATES)
        else config["transfer"]["pixel_size_um"]
    )


def tile_shape():
    """What nuclei and tiles must agree on: a nucleus is kept when its tile fits."""
    tiles = config["tiles"]
    return {"tile_size": tiles.get("size", 112), "border": tiles.get("border", "drop")}


def tile_files(options, suffix):
    """The tile files of the plates that a pretraining run with these options learns from."""
    used = options.get("plate_types") or SHEET["Metadata_PlateType"].unique()
    plates = SHEET.loc[
        SHEET["Metadata_PlateType"].isin(used) & (SHEET["role"] != "ood"),
        "Metadata_Plate",
    ]
    return expand(result("tiles/{plate}.{suffix}"), plate=plates, suffix=suffix)


def encoder_weights(encoder):
    """The weight file that an encoder reads, if it is a file."""
    spec = config["encoders"][encoder]
    if spec["kind"] == "pretrained" and "run" in spec:
        return result(f"pretrain/{spec['run']}/model.safetensors")
    if spec["kind"] == "untrained" and "run" in spec:
        return weight_files([run_options(spec["run"]).get("imagenet")])
    return weight_files([spec.get("weights")])


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
        "code": code(script),
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


def table_options():
    """Options of tables and figures: the config's, and what each channel set holds."""
    used = {channels for _, channels in PAIRS} | {config["transfer"]["channel_set"]}
    sets = {
        name: chosen for name, chosen in config["channel_sets"].items() if name in used
    }
    return {"channel_sets": sets, **config["tables"]}


def interval_options():
    """The options of tables that decide intervals: relabelling an encoder must not probe again."""
    names = ("protocol", "replicates", "level", "seed")
    return {name: config["tables"][name] for name in names if name in config["tables"]}


def probe_files():
    """Scores and predictions of every encoder and channel set that is evaluated."""
    names = ("scores.parquet", "predictions.parquet")
    return [
        result(f"probes/{encoder}/{channels}/{name}")
        for encoder, channels in PAIRS
        for name in names
    ]


def provenance_files():
    """The files whose checksums tell one set of results from another."""
    if FROM_EMBEDDINGS:
        return [path for pair in PAIRS for path in embedding_files(*pair)]
    models = expand(result("pretrain/{run}/model.safetensors"), run=RUNS)
    if not PAIRS:
        return [result("sample/transfer.parquet"), *models, *TABLES, *FIGURES]
    return [
        result("split/wells.parquet"),
        result("sample/cells.parquet"),
        *models,
        *TABLES,
        *FIGURES,
    ]


def stage_digests(wildcards):
    """Code and library versions of every step."""
    scripts = [path for path in sorted(SCRIPTS.glob("*.py")) if path.stem != "job"]
    return {script.stem: code_state(script) for script in scripts}


def bundle_files():
    """What tables and figures are made of and `start_from: embeddings` does not make: the sources of a bundle."""
    pretrained = expand(
        result("pretrain/{run}/{name}"),
        run=RUNS,
        name=["metrics.parquet", "snapshots.npz"],
    )
    transferred = expand(
        result("transfer/{encoder}/{name}"),
        encoder=TRANSFER_ENCODERS,
        name=["wells.parquet"]
        + ["head.safetensors"] * (config["transfer"]["head"] is not None),
    )
    return [
        result("split/wells.parquet"),
        result("sample/cells.parquet"),
        *expand(result("quality/{plate}.parquet"), plate=[*PLATES, *TRANSFER_PLATES]),
        result("losses/counts.parquet"),
        *(path for pair in PAIRS for path in embedding_files(*pair)),
        *pretrained,
        *(
            path
            for encoder in TRANSFER_ENCODERS
            for path in transfer_embeddings(encoder)
        ),
        *transferred,
    ]


def upstream_files():
    """What the files of a bundle were made from; a bundle records their checksums."""
    plates = [*PLATES, *TRANSFER_PLATES]
    stages = ["download", "nuclei", "tiles"]
    weights = [encoder_weights(encoder) for encoder in USED_ENCODERS]
    return [
        *expand(result("metadata/{table}.csv.gz"), table=config["metadata"]),
        *expand(result("{stage}/{plate}.parquet"), stage=stages, plate=plates),
        *(
            path
            for given in weights
            for path in ([given] if isinstance(given, str) else given)
        ),
    ]
