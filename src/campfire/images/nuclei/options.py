"""The record of method, parameters and versions in a nuclei table."""

from importlib.metadata import version
from typing import Any

from campfire.images.options import NucleiOptions

_CELLPOSE_ONLY = ("model", "weights", "device", "batch_size", "sites_per_batch", "flow_threshold", "cellprob_threshold")


def describe(options: NucleiOptions, pixel_size_um: float, illumination: str = "none") -> dict[str, Any]:
    """The metadata of a nuclei table: method, parameters, versions, hash of the weights."""
    parameters = {name: value for name, value in options.values().items() if name not in _CELLPOSE_ONLY}
    made = {**parameters, "pixel_size_um": pixel_size_um, "illumination": illumination}
    if options.method == "classical":
        return {**made, "software": f"scikit-image {version('scikit-image')}, scipy {version('scipy')}"}
    from campfire.images.nuclei.cellpose import describe_model

    return {**made, **{name: getattr(options, name) for name in _CELLPOSE_ONLY[4:]}, **describe_model(options)}
