"""Options of nuclei and of site quality: `nuclei` and `quality` of the config."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from campfire.core.options import TILE_SIZE, Names, Options, option


class QualityOptions(Options):
    """The measures of a site and the thresholds that exclude sites; a threshold of null excludes none."""

    section: ClassVar[str] = "quality"

    channels: Names | None = option(None, "channels measured; null measures every channel fetched for the plate")
    focus_channel: str = option("DNA", "channel whose focus decides", min_length=1)
    focus_min: float | None = option(
        None, "least power-spectrum slope (more negative is more blurred); absolute, so it depends on the optics"
    )
    focus_deviations: float | None = option(
        8.0,
        "a site is blurred when its slope lies this many robust standard deviations below the plate's median",
        gt=0,
    )
    saturated_max: float | None = option(
        0.02, "largest fraction of saturated pixels in any measured channel", ge=0, le=1
    )
    saturation_value: int | None = option(
        None,
        "full scale of the camera; null takes it, channel by channel, from pixels that pile up at the plate's largest "
        "count (4095 of a 12-bit camera)",
        unit="counts",
        ge=1,
        le=65535,
    )
    dead_max: float | None = option(
        0.05, "largest share of a channel's rows or columns that are constant or copies of their neighbour", ge=0, le=1
    )
    stripes_max: float | None = option(
        5.0, "largest scatter of a channel's rows or columns, in deviations of the pixel noise", gt=0
    )
    debris_max: float | None = option(0.1, "largest share of a field covered by debris", ge=0, le=1)
    empty_contrast: float = option(
        5.0,
        "a site is empty when its brightest 0.1 % lies less than this many noise deviations above its median",
        ge=0,
    )
    nuclei_min: int | None = option(1, "fewest nuclei found in a site", ge=0)
    nuclei_max: int | None = option(None, "most nuclei found in a site", ge=0)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.nuclei_min is not None and self.nuclei_max is not None and self.nuclei_max < self.nuclei_min:
            yield "nuclei_max", f"{self.nuclei_max} is below nuclei_min ({self.nuclei_min}): no site would remain"


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
        TILE_SIZE, "side of the tiles that will be cut around the nuclei", unit="px", follows="tiles.size", ge=2
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
