"""Checks before a run that names, sheets, weights and targets fit together; each raises a ConfigError."""

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from campfire.core.columns import PLATE
from campfire.core.errors import ConfigError
from campfire.core.mistakes import nearest
from campfire.encoders import KINDS
from campfire.encoders.timm_names import unknown_timm_model
from campfire.evaluation.transfer.sheet import read_sheet as read_transfer_sheet
from campfire.runs.embedding import lacking_channels, loaded_encoders
from campfire.runs.files import weight_files
from campfire.runs.plates import NUCLEAR_STAIN
from campfire.runs.run import Run
from campfire.screen.metadata import read_sheet
from campfire.screen.metadata.tables import plate_channels
from campfire.screen.places import plate_of

STAGES_BY_PLATE = "images|download|nuclei|quality|tiles|embeddings/[^/]+/[^/]+|figures/(?:plate_layout|contact_sheet)"


def check_run(run: Run, targets: Iterable[str] = ()) -> None:
    """Check the sheets, weight files and requested targets; one error lists everything that is wrong."""
    targets = list(targets)
    checks: list[Callable[[], object]] = [
        lambda: check_plates(run),
        lambda: check_left_out(run),
        lambda: check_plate_channels(run),
        lambda: check_pixel_sizes(run),
        lambda: check_plate_targets(run, targets),
        lambda: check_timm_names(run),
    ]
    if not run.from_embeddings:
        checks += [
            lambda: check_weights(run, ablation="ablation" in targets),
            lambda: check_tile_size(run),
            lambda: check_factories(run),
            *(partial(run.training_tiles, name) for name in run.pretraining_runs),
        ]
    wrong: list[str] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            wrong += str(error).splitlines()
    if wrong:
        raise ConfigError("\n".join(wrong))


def check_plates(run: Run) -> None:
    """Check that no plate is in both sheets: its tiles would be cut for one of them only."""
    both = [plate for plate in run.plates if plate in set(run.transfer_plates)]
    if both:
        raise ConfigError(
            f"plate {both[0]} is in {run.config.sheet} and in {run.config.transfer.sheet}; "
            "a plate belongs to one of them"
        )


def check_left_out(run: Run) -> None:
    """Check that what is left out is on plates of the sheets, and that plates of every role remain."""
    listed = read_sheet(run.config.sheet)[PLATE].tolist() if run.config.sheet else []
    transfer = run.config.transfer.sheet
    known = [*listed, *(read_transfer_sheet(transfer)[PLATE].unique() if transfer else ())]
    places = run.config.leave_out if {plate_of(place) for place in run.config.leave_out} - set(known) else ()
    wrong = [
        f"config: leave_out: {place}: no plate {plate_of(place)} in {run.config.sheet or transfer}; "
        f"{nearest(plate_of(place), known)}"
        for place in places
        if plate_of(place) not in known
    ]
    gone = set(run.split_sheet["role"]) - set(run.sheet["role"]) - {"train"} if run.pairs else set()
    wrong += [f"config: leave_out: no plate of role {role} remains; leave fewer plates out" for role in sorted(gone)]
    if wrong:
        raise ConfigError("\n".join(wrong))


def check_plate_channels(run: Run) -> None:
    """Check the channels that plates of the sheet name: known, with the nuclear stain, some of each channel set."""
    known = list(dict.fromkeys([*run.config.channels, *run.config.training_channels]))
    sheet = run.config.sheet
    for row in run.sheet.to_dict("records"):
        plate, own = row["Metadata_Plate"], plate_channels(row)
        strangers = [channel for channel in own if channel not in known]
        if strangers:
            raise ConfigError(
                f"{sheet}: plate {plate} has channel {strangers[0]}, which config `channels` does not name "
                f"({', '.join(known)}); add it there or correct the sheet"
            )
        if own and NUCLEAR_STAIN not in own:
            raise ConfigError(
                f"{sheet}: plate {plate} has channels {', '.join(own)}, but no {NUCLEAR_STAIN}, which nucleus "
                "segmentation requires; add it, or remove the plate"
            )
    for name in dict.fromkeys(channels for _, channels in run.pairs):
        wanted = run.config.channel_sets[name]
        for plate, absent in lacking_channels(run, name).items():
            if len(absent) == len(wanted):
                raise ConfigError(
                    f"{sheet}: plate {plate} has no channel of the channel set {name} ({', '.join(wanted)}); evaluate "
                    "other sets, or give the plate the role train"
                )


def check_pixel_sizes(run: Run) -> None:
    """Check that plates of several pixel sizes are brought to one scale."""
    sizes: dict[float, str] = {}
    for name in run.plates:
        sizes.setdefault(run.plate(name).pixel_size_um, name)
    if len(sizes) > 1 and run.config.tiles.pixel_size_um is None:
        found = ", ".join(f"{size:g} (such as {plate})" for size, plate in sorted(sizes.items()))
        raise ConfigError(
            f"{run.config.sheet}: plates have {len(sizes)} pixel sizes, {found} um; set tiles.pixel_size_um to the "
            "one that all tiles are resampled to"
        )


def check_plate_targets(run: Run, targets: Iterable[str]) -> None:
    """Check that requested files of a plate belong to a plate of this run."""
    pattern = rf"{re.escape(run.files.results)}/(?:{STAGES_BY_PLATE})/([^/]+)"
    for target in targets:
        match = re.fullmatch(pattern, target)
        # Plate names may contain dots, and so may the rest of a file name.
        if match and not any(match[1] == plate or match[1].startswith(f"{plate}.") for plate in run.all_plates):
            raise ConfigError(
                f"{target}: plate {match[1].partition('.')[0]} is not in "
                f"{run.config.sheet or run.config.transfer.sheet}, or the split or `leave_out` leaves it out; used are "
                f"{', '.join(run.all_plates[:5])}, ..."
            )


def check_timm_names(run: Run) -> None:
    """Check that timm has the models that its encoders name."""
    options = {name: run.plain["encoders"][name] for name in loaded_encoders(run)}
    named = {name: each["model"] for name, each in options.items() if each["kind"] == "timm"}
    _raise(
        f"config: encoders.{name}.model: {unknown}"
        for name, model in named.items()
        if (unknown := unknown_timm_model(model))
    )


def check_weights(run: Run, ablation: bool = False) -> None:
    """Check that all weight files exist; those of the ablation study only when it is requested."""
    missing = [text for encoder in loaded_encoders(run) if (text := _missing_input(run, encoder))]
    starts = {f"pretrain.runs.{name}": run.pretraining(name).get("imagenet") for name in run.pretraining_runs}
    if ablation:
        sizes = run.config.pretrain.ablation.imagenet
        starts |= {f"pretrain.ablation.imagenet.{size}": weights for size, weights in sizes.items()}
    missing += [
        f"{place}: no ImageNet weights at {weights}; put the file there, or set `hub` to load them from the "
        "model hub, or leave it empty for random initial weights (docs/encoders.md)"
        for place, weights in starts.items()
        if _missing(weights)
    ]
    _raise(missing)


def _missing_input(run: Run, encoder: str) -> str:
    """Which weights or table of an encoder is not there, and where to get it; "" if nothing is missing."""
    options = run.plain["encoders"][encoder]
    weights, source = options.get("weights"), KINDS[options["kind"]].source
    if run.encoder(encoder).is_table:
        path = options.get("path")
        there = path and Path(path).is_file()
        return "" if there else f"encoder {encoder}: no table of embeddings at {path}; correct encoders.{encoder}.path"
    folder = str(options.get("model") or "")
    if folder.startswith("local-dir:") and not Path(folder.removeprefix("local-dir:"), "config.json").is_file():
        return (
            f"encoder {encoder}: no config.json in {folder.removeprefix('local-dir:')}; correct "
            f"encoders.{encoder}.model to a folder that timm's save_for_hf wrote"
        )
    if source is not None and (not weights or _missing(weights)):
        return f"encoder {encoder}: no weights at {weights or '(none given)'}; {source.where}"
    if _missing(weights):
        return (
            f"encoder {encoder}: no weights at {weights}; put the file there, or for timm set "
            "`weights: hub` to load it from the model hub (docs/encoders.md says where weights come from)"
        )
    return ""


def check_tile_size(run: Run) -> None:
    """Check that external weight files were trained on tiles of this run's size."""
    size, wrong = run.config.tiles.size, []
    for name in loaded_encoders(run):
        options = run.plain["encoders"][name]
        path = options.get("weights")
        if options["kind"] not in ("pretrained", "untrained") or not path or not Path(path).is_file():
            continue
        trained_on = _stored_tile_size(Path(path))
        if trained_on is not None and trained_on != size:
            wrong.append(
                f"config: encoders.{name}.weights: {path} was trained on tiles of {trained_on} px, but tiles.size is "
                f"{size}; set tiles.size to {trained_on}, or name weights of this size"
            )
    _raise(wrong)


def _stored_tile_size(path: Path) -> int | None:
    """The tile size in the header of a weight file, read without torch; None if it gives none."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            metadata = json.loads(file.read(min(length, 100_000_000))).get("__metadata__", {})
        return int(json.loads(metadata["campfire"])["model"]["image_size"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # loading it reports what is wrong


def _missing(weights: str | None) -> bool:
    return any(not Path(path).is_file() for path in weight_files([weights]))


def check_factories(run: Run) -> None:
    """Check that the modules of user-supplied encoders exist, in the working folder or installed."""
    _raise(text for name in loaded_encoders(run) if (text := _factory_problem(run, name)))


def _factory_problem(run: Run, name: str) -> str:
    """What is wrong with the factory of a user-supplied encoder; "" if nothing is, and for other encoders."""
    encoder = run.encoder(name)
    path = encoder.module
    if path is None:
        return ""
    module, _, function = encoder.options.get("factory", "").partition(":")
    if not module or not function:
        return f"config: encoder {name}: give `factory` as module:function, e.g. my_encoders:make"
    if module.endswith(".py") or "/" in module:
        right = module.removesuffix(".py").replace("/", ".").strip(".")
        return f"encoder {name}: encoders.{name}.factory names a file; give the module, {right}:{function}"
    package, installed = path.with_suffix("") / "__init__.py", module.split(".")[0]
    if not (path.is_file() or package.is_file() or find_spec(installed)):
        return (
            f"encoder {name}: there is no {path} in the folder you start from ({Path.cwd()}), and no module "
            f"{installed} is installed; put the file there or correct encoders.{name}.factory"
        )
    text = path.read_text(encoding="utf-8") if path.is_file() else function
    if not re.search(rf"\b{re.escape(function)}\b|import \*", text):
        return f"encoder {name}: {path} has no {function}; define it there, or correct encoders.{name}.factory"
    return ""


def _raise(wrong: Iterable[str]) -> None:
    """Raise one ConfigError of all these mistakes, if there are any."""
    if text := "\n".join(wrong):
        raise ConfigError(text)
