"""Whether config, sheets, names and weight files fit, before anything starts; what the sheets say is used by all."""


def checked_transfer_sheet():
    """The wells of the transfer screen, if there is one."""
    if not config["transfer"]["sheet"]:
        return None
    from campfire.evaluation.transfer.sheet import check_trainable, read_sheet

    sheet = read_sheet(config["transfer"]["sheet"])
    if config["transfer"]["head"] is not None:
        check_trainable(sheet, config["transfer"]["sheet"])
    return sheet


def checked_sheets():
    """Validate the config, then the sheets it refers to; any mistake ends the run with its remedy.

    Of the plates' sheet remain those that the split may give wells: the strict split leaves out whole batches.
    """
    from campfire.screen.split import SplitOptions, plates_with_wells

    try:
        validate(
            config,
            read_yaml(Path(workflow.basedir) / "workflow/schemas/config.schema.yaml"),
        )
        sheet = read_sheet(config["sheet"]) if config["sheet"] else empty_sheet()
        used = plates_with_wells(sheet, SplitOptions(**config["split"]))
        sheet = sheet[sheet["Metadata_Plate"].isin(used)].reset_index(drop=True)
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
    named = config["tables"]
    used += [("encoder", e, "tables.encoders") for e in named.get("encoders", [])]
    used += [
        ("encoder", e, "tables.twins")
        for pair in named.get("twins", {}).items()
        for e in pair
    ]
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
            near = get_close_matches(name, known[kind], n=1)
            meant = f"; did you mean `{near[0]}`?" if near else ""
            raise WorkflowError(
                f"config: unknown {kind} `{name}` in {place}; known: {', '.join(sorted(known[kind]))}{meant}"
            )


def check_nuclear_stain():
    """Nuclei are sought on the channel DNA, so a screen must have one of that name."""
    if "DNA" not in config["channels"] and config["sheet"]:
        raise WorkflowError(
            f"config: `channels` ({', '.join(config['channels'])}) has no DNA, on which nuclei are sought; call the "
            "nuclear stain DNA, e.g. by campfire.images.gallery.arrange --channels DAPI=DNA (docs/your-screen.md)"
        )


SHEET, TRANSFER_SHEET = checked_sheets()
check_names()
check_nuclear_stain()
FROM_EMBEDDINGS = config["start_from"] == "embeddings"

PLATES = SHEET["Metadata_Plate"].tolist()
TRANSFER_PLATES = (
    [] if TRANSFER_SHEET is None else sorted(TRANSFER_SHEET["Metadata_Plate"].unique())
)
EVALUATION_PLATES = SHEET.loc[
    SHEET["role"].isin(["id", "ood"]), "Metadata_Plate"
].tolist()

PAIRS = list(
    dict.fromkeys(
        (entry["encoder"], channels)
        for entry in config["evaluate"]
        for channels in entry["channel_sets"]
    )
)
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
                f"{target}: plate {match[1]} is not in {config['sheet'] or config['transfer']['sheet']}, or the split "
                f"leaves it out; used are {known}, ..."
            )


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


def own_module(spec):
    """The file that the factory of one's own encoder should be in; None for other kinds."""
    if spec["kind"] != "python":
        return None
    *folders, module = spec.get("factory", "").partition(":")[0].split(".")
    return Path(*folders, f"{module}.py")


def check_factories():
    """One's own encoders must be there before anything starts, beside the run or installed."""
    for encoder in USED_ENCODERS:
        spec = config["encoders"][encoder]
        path = own_module(spec)
        if not path:
            continue
        name, _, function = spec.get("factory", "").partition(":")
        if not name or not function:
            raise WorkflowError(
                f"config: encoder {encoder}: give `factory` as module:function, e.g. my_encoders:make"
            )
        package = path.with_suffix("") / "__init__.py"
        installed = name.split(".")[0]
        if not (path.is_file() or package.is_file() or find_spec(installed)):
            raise WorkflowError(
                f"encoder {encoder}: there is no {path} in the folder you start from ({Path.cwd()}), and no module "
                f"{installed} is installed; put the file there or correct encoders.{encoder}.factory"
            )


def check_lock():
    """Say in words what a lock means, before Snakemake refuses to start."""
    if workflow.is_main_process and not {"-n", "--dry-run", "--dryrun", "--unlock"} & {
        *sys.argv
    }:
        from snakemake.logging import logger

        from campfire.runs.slurm import explain_lock

        explanation = explain_lock()
        if explanation:
            logger.error(explanation)


check_targets()
check_lock()
if not FROM_EMBEDDINGS:
    check_weights()
    check_factories()
