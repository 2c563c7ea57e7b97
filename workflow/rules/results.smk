"""Which tables and figures an evaluation has, and where they stand in the report. No rules here."""

from campfire.evaluation.transfer.sheet import has_control_groups

ID_CHANNELS, OOD_CHANNELS = (
    config["tables"].get(name, default)
    for name, default in [
        ("id_channels", "DNA_AGP_Mito"),
        ("ood_channels", "DNA_ER_RNA"),
    ]
)
LEADING_ENCODERS = [encoder for encoder, channels in PAIRS if channels == ID_CHANNELS]
"""Encoders evaluated on the leading channel set; the first is the one that single-encoder figures show."""
if PAIRS and not LEADING_ENCODERS:
    raise WorkflowError(
        f"config: no encoder of `evaluate` has the channel set {ID_CHANNELS}, which tables.id_channels makes the "
        f"leading one; add it there, or set tables.id_channels to one of {', '.join(dict.fromkeys(c for _, c in PAIRS))}"
    )

SECTIONS = {
    "1 Findings": ["findings"],
    "2 The split": ["figure_2_1", "quadrants", "losses", "plate_layout"],
    "3 Pretraining": ["figure_3_3", "training_curves"],
    "4 Encoders and quadrants": [
        "table_3_1",
        "claims",
        "differences",
        "ood_gap",
        "gaps",
        "confusion",
        "accuracies",
    ],
    "5 Channels": ["figure_3_4", "table_3_2"],
    "6 Protocols and leaks": ["protocols", "leaks"],
    "7 Beyond the probe": ["beyond", "profiles", "variance"],
    "8 Transfer to another screen": ["figure_3_5", "transfer"],
}


def report_entry(path, name, kind):
    """Mark a file for the report, in the section and with the caption that belong to it."""
    topic = name.split("/")[0]
    section = next(section for section, names in SECTIONS.items() if topic in names)
    caption = f"../report/{topic}.rst"
    title = re.sub(r"(table|figure)_(\d)_(\d)", r"\1 \2.\3", name)
    title = title.replace("_", " ").replace("ood", "OOD")
    labels = {"result": title[:1].upper() + title[1:], "kind": kind}
    return report(path, caption=caption, category=section, labels=labels)


def report_table(name):
    """The files of a table; the report shows the html, the csv has full precision."""
    html = report_entry(result(f"tables/{name}.html"), name, "table")
    return [
        html,
        *expand(
            result("tables/{name}.{suffix}"), name=name, suffix=["csv", "md", "tex"]
        ),
    ]


def report_figure(name):
    """The files of a figure; the csv beside it holds what is drawn."""
    svg = report_entry(result(f"figures/{name}.svg"), name, "figure")
    return [
        svg,
        *expand(
            result("figures/{name}.{suffix}"), name=name, suffix=["pdf", "png", "csv"]
        ),
    ]


def figure_3_4_sets():
    """The channel sets of figure 3.4: those of the first encoder that hold training channels only."""
    trained = set(config["training_channels"])
    return [
        s
        for entry in config["evaluate"][:1]
        for s in entry["channel_sets"]
        if set(config["channel_sets"][s]) <= trained
    ]


def pretrained_files(name):
    """A file of every pretraining run."""
    return run.available(expand(result("pretrain/{run}/{name}"), run=RUNS, name=name))


def differences_file():
    """The table of differences, where there is more than one result to compare."""
    return result("tables/differences.csv") if len(PAIRS) > 1 else []


def transfer_compared():
    """The transfer screen has control groups to compare; one that goes without a head may have none."""
    if config["transfer"]["head"] is None and not has_control_groups(TRANSFER_SHEET):
        return False
    wells = expand(
        result("transfer/{encoder}/wells.parquet"), encoder=TRANSFER_ENCODERS
    )
    return bool(run.available(wells))


def table_names():
    """The tables that the evaluation at hand has."""
    names = ["losses"] if run.available([result("losses/counts.parquet")]) else []
    if LEADING_ENCODERS:
        names += ["accuracies", "table_3_1", "gaps", "leaks", "profiles", "variance"]
        names.append("quadrants")
    if {(encoder, OOD_CHANNELS) for encoder in LEADING_ENCODERS} & set(PAIRS):
        names.append("table_3_2")
    if LEADING_ENCODERS and len(config["probe"]["protocols"]) > 1:
        names.append("protocols")
    return (
        names
        + (["differences"] if differences_file() else [])
        + (["transfer"] if transfer_compared() else [])
    )


def figure_names():
    """The figures that the evaluation at hand has."""
    names = [*PLATE_LAYOUTS]
    if LEADING_ENCODERS:
        names += ["figure_2_1", "ood_gap", "confusion", "beyond"]
        names += ["figure_3_4"] if figure_3_4_sets() else []
    if pretrained_files("snapshots.npz"):
        names.append("figure_3_3")
    if pretrained_files("metrics.parquet"):
        names.append("training_curves")
    return (
        names
        + (["claims"] if differences_file() else [])
        + (["figure_3_5"] if transfer_compared() else [])
    )


PLATE_LAYOUTS = [
    f"plate_layout/{plate}"
    for plate in [*PLATES, *TRANSFER_PLATES]
    if run.available([result(f"quality/{plate}.parquet")])
]
TABLE_NAMES, FIGURE_NAMES = table_names(), figure_names()
FINDINGS = [result("findings.html")] if PAIRS or transfer_compared() else []
TABLES = expand(
    result("tables/{name}.{suffix}"),
    name=TABLE_NAMES,
    suffix=["csv", "md", "tex", "html"],
)
FIGURES = expand(
    result("figures/{name}.{suffix}"),
    name=FIGURE_NAMES,
    suffix=["svg", "pdf", "png", "csv"],
)


def check_result_targets():
    """A figure or table that this run does not have is answered with those that it has."""
    known = {"figures": FIGURE_NAMES, "tables": TABLE_NAMES}
    pattern = rf"{re.escape(config['results'])}/(figures|tables)/(.+)[.](?:svg|pdf|png|csv|md|tex|html)"
    for target in sys.argv[1:]:
        match = re.fullmatch(pattern, target)
        if not match or match[2].startswith(("ablation_", "plate_layout/")):
            continue
        if match[2] not in known[match[1]]:
            near = get_close_matches(match[2], known[match[1]], n=1)
            meant = f"; did you mean {near[0]}?" if near else "."
            names = ", ".join(name for name in known[match[1]] if "/" not in name)
            raise WorkflowError(
                f"{target}: this run has no such {match[1][:-1]}{meant} It has {names}"
            )


check_result_targets()


def table_options():
    """Options of tables and figures: the config's, and what each channel set holds."""
    used = {channels for _, channels in PAIRS} | {config["transfer"]["channel_set"]}
    sets = {
        name: chosen for name, chosen in config["channel_sets"].items() if name in used
    }
    return {"channel_sets": sets, **config["tables"]}


def provenance_files():
    """The files whose checksums tell one set of results from another, and by which `make verify` finds altered ones."""
    shown = [*TABLES, *FIGURES, *FINDINGS]
    if FROM_EMBEDDINGS:
        return [*(path for pair in PAIRS for path in embedding_files(*pair)), *shown]
    models = expand(result("pretrain/{run}/model.safetensors"), run=RUNS)
    drawn = ["split/wells.parquet", "sample/cells.parquet"]
    if not PAIRS:
        drawn = ["sample/transfer.parquet"]
    return [*map(result, drawn), *models, *run.transfer_heads(), *shown]


def bundle_files():
    """What tables and figures are made of and `start_from: embeddings` does not make: the sources of a bundle."""
    pretrained = expand(
        result("pretrain/{run}/{name}"),
        run=RUNS,
        name=["metrics.parquet", "snapshots.npz"],
    )
    transferred = expand(
        result("transfer/{encoder}/wells.parquet"), encoder=TRANSFER_ENCODERS
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
        *run.transfer_heads(),
    ]


def upstream_files():
    """What the files of a bundle were made from; a bundle records their checksums."""
    plates = [*PLATES, *TRANSFER_PLATES]
    stages = ["download", "nuclei", "tiles"]
    weights = [run.encoder(encoder).weights for encoder in USED_ENCODERS]
    return [
        *expand(result("metadata/{table}.csv.gz"), table=config["metadata"]),
        *expand(result("{stage}/{plate}.parquet"), stage=stages, plate=plates),
        *(path for files in weights for path in files),
    ]
