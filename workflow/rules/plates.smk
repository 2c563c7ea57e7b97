"""What a plate needs: its place, wells, channels, and the tiles that a run learns from."""


def plate_place(plate):
    """Source, batch and plate of a plate of either sheet."""
    sheet = SHEET if plate in set(PLATES) else TRANSFER_SHEET
    row = sheet[sheet["Metadata_Plate"] == plate].iloc[0]
    return {
        key: row[f"Metadata_{key.capitalize()}"] for key in ("source", "batch", "plate")
    }


def structures_table():
    """The table of the compounds' structures, where the split goes by it."""
    from campfire.screen.split import SplitOptions

    wanted = SplitOptions(**config["split"]).setting("exclude_same_structure")
    return result("metadata/compound.csv.gz") if wanted else []


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
    from campfire.images.gallery import read_known_bad

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
    """The channels a plate needs: training plates only those that pretraining sees, evaluation plates all.

    DNA is always among them: nuclei are sought on it.
    """
    if plate in set(TRANSFER_PLATES):
        channels = config["channel_sets"][config["transfer"]["channel_set"]]
    elif plate in set(EVALUATION_PLATES):
        channels = config["channels"]
    else:
        channels = config["training_channels"]
    return channels if "DNA" in channels else ["DNA", *channels]


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


def training_tiles(run):
    """The tiles that a run of the config learns from; there must be some."""
    files = tile_files(run_options(run), "npy")
    if not files:
        types = run_options(run).get("plate_types", [])
        usable = SHEET.loc[SHEET["role"] != "ood", "Metadata_PlateType"].unique()
        raise WorkflowError(
            f"config: pretrain.runs.{run}.plate_types: no plate that may be trained on is of type {', '.join(types)}; "
            f"{config['sheet'] or 'the sheet'} has {', '.join(usable) or 'none'} ([] takes them all)"
        )
    return files


def tile_files(options, suffix):
    """The tile files of the plates that a pretraining run with these options learns from."""
    used = options.get("plate_types") or SHEET["Metadata_PlateType"].unique()
    plates = SHEET.loc[
        SHEET["Metadata_PlateType"].isin(used) & (SHEET["role"] != "ood"),
        "Metadata_Plate",
    ]
    return expand(result("tiles/{plate}.{suffix}"), plate=plates, suffix=suffix)
