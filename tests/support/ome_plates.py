"""Small plates in OME-Zarr."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 4000, (*shape, 24, 24)).astype(np.uint16)


def write_zarr(path: Path, data: np.ndarray, version: int) -> Path:
    """A plate with the wells A01 and B12, two sites each; data (well, site, c, z, 24, 24)."""

    def attributes(group: Any, values: dict) -> None:
        group.attrs.update({"ome": {"version": "0.5", **values}} if version == 3 else values)

    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    attributes(root, {"plate": {"name": "P7", "wells": [{"path": "A/1"}, {"path": "B/12"}]}})
    axes = [{"name": name} for name in "cz"] + [{"name": name, "unit": "micrometer"} for name in "yx"]
    for well, name in enumerate(("A/1", "B/12")):
        group = root.create_group(name)
        attributes(group, {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
        for site in range(2):
            field = group.create_group(str(site))
            scale = [{"type": "scale", "scale": [1, 1, 0.65, 0.65]}]
            datasets = [{"path": "0", "coordinateTransformations": scale}]
            omero = {"channels": [{"label": "Hoechst"}, {"label": "WGA"}]}
            attributes(field, {"multiscales": [{"axes": axes, "datasets": datasets}], "omero": omero})
            array = field.create_array("0", shape=data[well, site].shape, dtype=data.dtype)
            array[...] = data[well, site]
    return path
