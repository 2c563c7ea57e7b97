"""What can be known before the first job: whether split and folds come out, and whether jobs find what they need."""

import logging
import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from campfire.core.columns import PLATE
from campfire.core.errors import CampfireError, ConfigError
from campfire.core.text import duration, size, some
from campfire.runs.contents import newer_images
from campfire.runs.run import Run
from campfire.screen.split import SplitOptions, check_plates, make_split

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

AHEAD_S = 10.0
"""Seconds by which a file's time may be ahead of the clock: file systems round, servers differ a little."""
LEAST_TEMPORARY = 50e6
"""Bytes that must be free for temporary files."""
HUB_TIMEOUT_S = 5.0


def check_ahead(run: Run) -> None:
    """Raise one ConfigError with everything about plates, wells, folds and folders that no job could work with."""
    wrong: list[str] = []
    for check in (check_folder, check_split):
        try:
            check(run)
        except CampfireError as error:
            wrong += str(error).splitlines()
    if wrong:
        raise ConfigError("\n".join(wrong))
    warn_of_newer_images(run)


def check_folder(run: Run) -> None:
    """Check that the local folder of images exists, unless every plate has been fetched."""
    folder = run.config.s3.folder
    if folder is None or run.from_embeddings or Path(folder).is_dir():
        return
    if not all(Path(run.files.download(plate)).is_file() for plate in run.all_plates):
        raise ConfigError(f"config: s3.folder: {Path(folder).absolute()} is no folder; correct it or mount the disk")


def check_split(run: Run) -> None:
    """Check the plates of the sheet; where the table of wells is on this machine, make the split and check the folds.

    Nothing is kept. A split newer than sheet and table has been made with them and is not made again, nor is one
    whose table of wells is not on this machine: it may have been brought along.
    """
    if not run.pairs or run.from_embeddings:
        return
    from campfire.screen.metadata import read_wells

    options, table = run.config.split, well_table(run)
    if table is None:
        if not Path(run.files.wells).is_file():
            check_plates(run.sheet, options)
        return
    if _is_made(run.files.wells, options, [table, Path(str(run.config.sheet))]):
        return
    check_plates(run.sheet, options)
    check_folds(run, make_split(run.sheet, read_wells(table, run.sheet), options).wells)


def check_folds(run: Run, wells: "pd.DataFrame") -> None:
    """Check the folds of the held-out task against the plates that carry held-out compounds.

    wells: the table split/wells.parquet
    """
    probe = run.config.probe
    held_out = wells[wells["split"] == "test_ood_compound"]
    plates = held_out[PLATE].nunique()
    for name in probe.protocols if plates else ():
        by_plate = probe.protocol(name).folds == "plate"
        if by_plate and (probe.folds or 2) > plates:
            raise ConfigError(
                f"config: probe.folds: protocol {name} cuts {probe.folds or 2} folds of whole plates, but held-out "
                f"compounds are on {plates} plate{'s' if plates > 1 else ''} of role id; lower probe.folds, leave "
                f"{name} out of probe.protocols, or add plates"
            )


def warn_of_newer_images(run: Run) -> None:
    """Log a warning for plates of a local folder whose images changed after they were read."""
    s3 = run.config.s3
    if s3.folder is None or run.from_embeddings:
        return
    changed = {}
    for plate in run.all_plates:
        place = run.plate(plate)
        folder = Path(s3.folder) / s3.root(place.source) / "images" / place.batch / "images" / plate
        folder = folder / "Images" if (folder / "Images").is_dir() else folder
        if newer := newer_images(folder, run.files.download(plate)):
            changed[plate] = newer
    if changed:
        first = next(iter(changed))
        log.warning(
            "%s is newer than the results of plate %s%s: if images were replaced, read them again with "
            "`--forcerun images --config redo=images`",
            *(changed[first], first, f" (and of {len(changed) - 1} more plates)" if len(changed) > 1 else ""),
        )


def well_table(run: Run) -> Path | None:
    """The table of wells on this machine: the config's, else its copy; None where it is not fetched yet."""
    address = str(run.config.metadata["well"].address)
    parts = urlsplit(address)
    if parts.scheme.lower() not in ("", "file"):
        copy = Path(run.files.metadata("well"))
        return copy if copy.is_file() else None
    path = Path(unquote(parts.path)) if parts.scheme else Path(address)
    if path.is_file():
        return path
    if Path(run.files.wells).is_file():  # a copy of a finished run needs no table of wells
        return None
    raise ConfigError(f"config: metadata.well.address: {path.absolute()}: no such file; correct the address")


def _is_made(path: str, options: SplitOptions, inputs: Iterable[Path]) -> bool:
    """Whether the split at `path` was made with these options and is newer than its inputs."""
    from campfire.core.files import read_table_metadata

    try:
        made = os.path.getmtime(path)
        newer = all(os.path.getmtime(other) <= made for other in inputs)
        return newer and read_table_metadata(path).get("options") == options.resolved()
    except (OSError, ValueError):
        return False


def problems_of_jobs(workflow: Any, run: Run) -> list[str]:
    """What planned jobs lack: weights of Cellpose, the model hub, input files that are not dated in the future."""
    jobs = list(workflow.dag.needrun_jobs())
    rules = {job.rule.name for job in jobs}
    found = [nuclei_weights_problem(run) if {"nuclei", "nuclei_gpu"} & rules else ""]
    found.append(hub_problem(run, jobs))
    found.append(temporary_problem() if jobs else "")
    found.append(future_problem(path for job in jobs for path in job.input))
    return [problem for problem in found if problem]


def temporary_problem() -> str:
    """What is wrong with the folder of temporary files; "" if nothing."""
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return f"no folder for temporary files ({error.strerror}); set TMPDIR to a folder with room"
    if free >= LEAST_TEMPORARY:
        return ""
    return f"{folder}: {size(free)} left for temporary files; make room there, or set TMPDIR to a folder with room"


def nuclei_weights_problem(run: Run) -> str:
    """What is wrong with the weights that nuclei are segmented with; ""."""
    if run.config.nuclei.method != "cellpose":
        return ""
    from campfire.images.nuclei.cellpose import weights_path

    try:
        weights_path(run.config.nuclei)
    except CampfireError as error:
        return str(error)
    return ""


def hub_problem(run: Run, jobs: Iterable[Any]) -> str:
    """Which weights planned jobs would fetch from the model hub, where it cannot be reached from here; else ""."""
    wanted: dict[str, str] = {}
    for job in jobs:
        named = job.wildcards_dict
        if job.rule.name in ("embed", "embed_transfer"):
            encoder = run.encoder(str(named.get("encoder", "")))
            if model := _hub_model((encoder.masked or encoder).options):
                wanted[f"encoders.{encoder.name}"] = model
        elif job.rule.name == "pretrain_run" and run.pretraining(named["run"]).get("imagenet") == "hub":
            wanted[f"pretrain.runs.{named['run']}.imagenet"] = "vit_"
    missing = [place for place, model in wanted.items() if not _is_cached(model)]
    if not missing or _reaches_hub():
        return ""
    return (
        f"{some(missing)}: the weights come from the model hub, which cannot be reached from here, and are not in its "
        f"cache ({_hub_cache()}); give a file as `weights` (docs/encoders.md), or connect to the network"
    )


def _hub_model(options: Mapping[str, Any]) -> str:
    """The model that an encoder takes from the hub, without its owner's commit; "" where its weights are elsewhere."""
    weights, model = str(options.get("weights") or ""), str(options.get("model") or "")
    for name in (model, weights):  # the config of a model there is there too, whatever its weights are
        if name.startswith("hf-hub:"):
            return name.removeprefix("hf-hub:").partition("@")[0]
    return model if weights == "hub" and not model.startswith("local-dir:") else ""


def _hub_cache() -> Path:
    home = os.environ.get("HF_HOME") or os.path.expanduser("~/.cache/huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def _is_cached(model: str) -> bool:
    """Whether the hub's cache has a model of this name; a name that ends in `_` stands for all that begin so."""
    name = model.rpartition("/")[2]
    pattern = f"models--*--{name}*" if name.endswith("_") or "." not in name else f"models--*--{name}"
    try:
        return any(_hub_cache().glob(pattern))
    except OSError:
        return False


def _reaches_hub() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=HUB_TIMEOUT_S):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def future_problem(paths: Iterable[str], now: float | None = None) -> str:
    """Which files are dated ahead of the clock, and what to do; "" if none is.

    Snakemake deletes a result that is older than one of its inputs, after the work.
    """
    now = time.time() if now is None else now
    ahead: dict[str, float] = {}
    for path in dict.fromkeys(map(str, paths)):
        try:
            later = os.path.getmtime(path) - now
        except OSError:
            continue
        if later > AHEAD_S:
            ahead[path] = later
    if not ahead:
        return ""
    first = max(ahead, key=lambda path: ahead[path])
    more = f" (and {len(ahead) - 1} more files)" if len(ahead) > 1 else ""
    return (
        f"{first}{more} is dated {duration(ahead[first])} ahead of this machine's clock ({time.strftime('%F %R')}); "
        "results made from it would count as older and be deleted; correct the clock if it is wrong, else "
        f"`touch {some(sorted(ahead), 4)}`"
    )
