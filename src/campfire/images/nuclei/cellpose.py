"""Nuclei by Cellpose 3.1 (Stringer et al. 2021; Pachitariu and Stringer 2022), the `nuclei` model by default.

Weights are never downloaded implicitly: they come from Cellpose's own folder or from a given file.
"""

import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.core.digests import file_sha256
from campfire.core.errors import ConfigError, WeightsError
from campfire.images.options import NucleiOptions

log = logging.getLogger(__name__)

MODEL_ADDRESS = "https://www.cellpose.org/models"
NUCLEI_DIAMETER = 17.0
"""Diameter in px for which the `nuclei` model was trained; its file does not state it."""


def weights_path(options: NucleiOptions) -> Path:
    """The file of the model's weights; a WeightsError says where to get it if it is missing."""
    if options.weights is not None:
        path = Path(options.weights).expanduser()
        if not path.is_file():
            raise WeightsError(f"{path}: no such Cellpose weights; correct nuclei.weights")
        return path
    folder = os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")
    # Cellpose's own file names: its first models carry a suffix.
    name = f"{options.model}torch_0" if options.model in ("cyto", "cyto2", "nuclei") else options.model
    path = (Path(folder) if folder else Path.home() / ".cellpose" / "models") / name
    if not path.is_file():
        raise WeightsError(
            f"{path}: the weights of Cellpose's {options.model} model are missing; get {MODEL_ADDRESS}/{name}, put the "
            "file there or name it in nuclei.weights (or set nuclei.method to classical, which needs none)"
        )
    return path


@lru_cache(maxsize=4)
def _sha256(path: Path, stamp: tuple[int, int]) -> str:
    """Read once for each state (size and time) of the file."""
    return file_sha256(path)


def describe_model(options: NucleiOptions) -> dict[str, Any]:
    """Model name, SHA-256 of its weights and Cellpose's version, as tables record them."""
    path = weights_path(options)
    stat = path.stat()
    digest = _sha256(path, (stat.st_size, stat.st_mtime_ns))
    return {"model": options.model, "weights_sha256": digest, "software": f"cellpose {version('cellpose')}"}


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"nuclei.device {name!r} is no device; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"nuclei.device is {name}, but this machine has no GPU; use auto or cpu")
    return device


@lru_cache(maxsize=2)
def _load(path: Path, model: str, device_name: str) -> Any:
    """A CellposeModel with the weights at `path`, cached for later sites."""
    import torch
    from cellpose.models import CellposeModel

    # Its warnings about stacks do not apply: planes are independent fields here.
    logging.getLogger("cellpose.models").setLevel(logging.ERROR)
    device = _device(device_name)
    try:
        named = torch.load(path, map_location="cpu", weights_only=True).keys()
        loaded = CellposeModel(pretrained_model=str(path), device=device, gpu=device.type != "cpu")
    except Exception as error:  # pickle, zip and shape errors of a foreign file
        raise WeightsError(f"{path}: not the weights of a Cellpose 3 model ({error}); download them again") from error
    if model == "nuclei" and "diam_mean" not in named:
        loaded.diam_mean = NUCLEI_DIAMETER
    log.info("Cellpose %s on %s, weights %s", model, device, path)
    return loaded


def segment_cellpose(
    images: Sequence[NDArray[Any]], pixel_size_um: float, options: NucleiOptions
) -> list[NDArray[np.int32]]:
    """(H, W) int32 labels of each DNA image (H, W).

    Images of equal shape are one stack, so that Cellpose's 224 px tiles of several sites share forward passes; each
    image is normalised and segmented separately, and the result does not depend on its neighbours in the stack.
    """
    model = _load(weights_path(options), options.model, options.device)
    diameter = options.diameter_um / pixel_size_um
    results: list[NDArray[np.int32] | None] = [None] * len(images)
    for shape in dict.fromkeys(image.shape for image in images):
        members = [n for n, image in enumerate(images) if image.shape == shape]
        stack = np.stack([images[n] for n in members]).astype(np.float32)[..., None]
        masks, _, _ = model.eval(
            stack,
            batch_size=options.batch_size,
            channels=[0, 0],
            channel_axis=3,
            z_axis=0,
            diameter=diameter,
            flow_threshold=options.flow_threshold,
            cellprob_threshold=options.cellprob_threshold,
            # `measure` applies the size limits; this only removes specks.
            min_size=max(4, int(0.01 * diameter**2)),
        )
        masks = np.asarray(masks).reshape(len(members), *shape)
        for n, mask in zip(members, masks, strict=True):
            results[n] = mask.astype(np.int32)
    return [result for result in results if result is not None]
