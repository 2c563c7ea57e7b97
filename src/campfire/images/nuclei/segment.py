"""Nucleus segmentation by any method."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from campfire.core.errors import ConfigError, DataError
from campfire.core.options import plausible_pixel_size
from campfire.images.nuclei.classical import segment_classical
from campfire.images.nuclei.debris import Segmentation
from campfire.images.options import NucleiOptions


def segment(
    dna: NDArray[Any],
    pixel_size_um: float,
    method: Literal["classical", "cellpose"] | None = None,
    diameter_um: float | None = None,
    options: NucleiOptions | None = None,
) -> NDArray[np.int32]:
    """Nuclei of one field: (H, W) int32 labels from 1, 0 is background; nuclei cut by the edge are included.

    Debris is left out; `segment_all` returns it beside the nuclei.

    dna: (H, W) image of a DNA stain in counts (any real dtype). pixel_size_um: micrometres per px.
    `method` and `diameter_um` (typical diameter of a nucleus) override those of `options`.

    Raises DataError for an image that is not 2-D or not finite, WeightsError when Cellpose's model is missing.
    """
    options = options or NucleiOptions()
    diameter_um = options.diameter_um if diameter_um is None else diameter_um
    options = options.changed(method=method or options.method, diameter_um=diameter_um)
    return segment_all([dna], pixel_size_um, options)[0].nuclei


def segment_all(images: Sequence[NDArray[Any]], pixel_size_um: float, options: NucleiOptions) -> list[Segmentation]:
    """Nuclei and debris of each DNA image (H, W); Cellpose takes several images together.

    Cellpose does not detect debris; `measure` marks objects that are too bright for a cell with either method.
    """
    for image in images:
        check_image(image, pixel_size_um)
    if options.method == "classical":
        return [segment_classical(image, options.diameter_um / pixel_size_um) for image in images]
    from campfire.images.nuclei.cellpose import segment_cellpose

    return [Segmentation(labels) for labels in segment_cellpose(images, pixel_size_um, options)]


def check_image(dna: NDArray[Any], pixel_size_um: float) -> None:
    """Raise a DataError or ConfigError for an image that no method can segment."""
    try:
        plausible_pixel_size(pixel_size_um)
    except ValueError as error:
        raise ConfigError(f"pixel size {error}") from error
    if dna.ndim != 2 or min(dna.shape) < 3:
        raise DataError(f"a DNA image must be 2-D, found shape {dna.shape}")
    if dna.dtype.kind not in "uif" or (dna.dtype.kind == "f" and not np.isfinite(dna).all()):
        raise DataError(f"a DNA image must hold finite numbers, found {dna.dtype}")
