"""Options of the nuclei stage, and their description for the tables' metadata."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, ClassVar, Literal

from campfire.core.options import Options, option


class NucleiOptions(Options):
    """How nuclei are segmented, and which of them become tiles."""

    section: ClassVar[str] = "nuclei"

    method: Literal["classical", "cellpose"] = option(
        "classical", "classical (scikit-image, no weights) or cellpose (3.1)", source="docs/decisions.md"
    )
    diameter_um: float = option(20.0, "typical diameter of a nucleus", unit="um", ge=1, le=200)
    min_area_um2: float = option(40.0, "smaller objects are left out with the reason small", unit="um2", ge=0)
    max_area_um2: float = option(1600.0, "larger objects are left out with the reason large", unit="um2", gt=0)
    tile_size: int = option(
        112, "side of the tiles that will be cut around the nuclei", unit="px", follows="tiles.size", ge=2
    )
    border: Literal["drop", "pad"] = option(
        "drop",
        "drop leaves out nuclei whose tile does not fit into the field; pad keeps them unless the field cuts them",
        follows="tiles.border",
    )
    model: str = option("nuclei", "name of the Cellpose model", min_length=1)
    weights: str | None = option(None, "file of the Cellpose model; null takes it from Cellpose's own folder")
    device: str = option("auto", "where Cellpose runs; auto takes a GPU when there is one", execution=True)
    batch_size: int = option(32, "Cellpose's tiles of 224 px per forward pass", execution=True, ge=1)
    sites_per_batch: int = option(4, "sites whose Cellpose tiles are batched together", execution=True, ge=1)
    flow_threshold: float = option(0.4, "Cellpose's largest flow error of an object; 0 keeps all", ge=0)
    cellprob_threshold: float = option(0.0, "Cellpose's least pixel score")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.min_area_um2 >= self.max_area_um2:
            yield "min_area_um2", f"{self.min_area_um2:g} must be smaller than max_area_um2 ({self.max_area_um2:g})"


_CELLPOSE_ONLY = ("model", "weights", "device", "batch_size", "sites_per_batch", "flow_threshold", "cellprob_threshold")


def describe(options: NucleiOptions, pixel_size_um: float, illumination: str = "none") -> dict[str, Any]:
    """What a nuclei table records about its making: method, parameters, versions, weights' hash."""
    parameters = {name: value for name, value in options.values().items() if name not in _CELLPOSE_ONLY}
    made = {**parameters, "pixel_size_um": pixel_size_um, "illumination": illumination}
    if options.method == "classical":
        return {**made, "software": f"scikit-image {version('scikit-image')}, scipy {version('scipy')}"}
    from campfire.images.nuclei.cellpose import describe_model

    return {**made, **{name: getattr(options, name) for name in _CELLPOSE_ONLY[4:]}, **describe_model(options)}
