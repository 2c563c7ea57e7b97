"""Options of the nuclei stage, and their description for the tables' metadata."""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

from campfire.core.errors import ConfigError

METHODS = ("classical", "cellpose")


@dataclass(frozen=True)
class NucleiOptions:
    """How nuclei are found, and which of them become tiles.

    method: classical (scikit-image, no weights) or cellpose (3.1)
    diameter_um: typical diameter of a nucleus in micrometres
    min_area_um2: smaller objects are left out with the reason small
    max_area_um2: larger objects are left out with the reason large
    tile_size: side of the tiles in px that will be cut around the nuclei
    border: drop leaves out nuclei whose tile does not fit into the field; pad keeps them unless the field cuts them
    model: name of the Cellpose model
    weights: file of the Cellpose model; null takes it from Cellpose's own folder
    device: where Cellpose runs; auto takes a GPU when there is one
    batch_size: Cellpose's tiles of 224 px per forward pass
    sites_per_batch: sites whose Cellpose tiles are batched together
    flow_threshold: Cellpose's largest flow error of an object; 0 keeps all
    cellprob_threshold: Cellpose's least pixel score
    """

    method: Literal["classical", "cellpose"] = "classical"
    diameter_um: float = 20.0
    min_area_um2: float = 40.0
    max_area_um2: float = 1600.0
    tile_size: int = 112
    border: Literal["drop", "pad"] = "drop"
    model: str = "nuclei"
    weights: str | None = None
    device: str = "auto"
    batch_size: int = 32
    sites_per_batch: int = 4
    flow_threshold: float = 0.4
    cellprob_threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"nuclei.method is one of {', '.join(METHODS)}, not {self.method!r}")
        if self.border not in ("drop", "pad"):
            raise ConfigError(f"nuclei.border is drop or pad, not {self.border!r}")
        if not self.diameter_um > 0:
            raise ConfigError(f"nuclei.diameter_um must be positive, not {self.diameter_um}")
        if not 0 <= self.min_area_um2 < self.max_area_um2:
            raise ConfigError("nuclei.min_area_um2 must be smaller than nuclei.max_area_um2")


_CELLPOSE_ONLY = ("model", "weights", "device", "batch_size", "sites_per_batch", "flow_threshold", "cellprob_threshold")


def describe(options: NucleiOptions, pixel_size_um: float, illumination: str = "none") -> dict[str, Any]:
    """What a nuclei table records about its making: method, parameters, versions, weights' hash."""
    parameters = {name: value for name, value in asdict(options).items() if name not in _CELLPOSE_ONLY}
    made = {**parameters, "pixel_size_um": pixel_size_um, "illumination": illumination}
    if options.method == "classical":
        return {**made, "software": f"scikit-image {version('scikit-image')}, scipy {version('scipy')}"}
    from campfire.images.nuclei.cellpose import describe_model

    return {**made, **{name: getattr(options, name) for name in _CELLPOSE_ONLY[4:]}, **describe_model(options)}
