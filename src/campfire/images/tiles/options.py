"""Options of the tiles: the `tiles` section of the config, the only source of the tile size."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from campfire.core.options import TILE_SIZE, Numbers, Options, PixelSize, option


class TileOptions(Options):
    """How tiles are cut and stored."""

    section: ClassVar[str] = "tiles"

    size: int = option(
        TILE_SIZE,
        "side of a tile; the model's image size and the nuclei's margin follow it",
        unit="px",
        source="paper 2.1",
        ge=2,
        le=4096,
        multiple_of=2,
    )
    pixel_size_um: PixelSize | None = option(
        None,
        "scale of the tiles: plates of another pixel size are resampled to it; null keeps each plate's own",
        unit="um",
        source="docs/your-screen.md",
    )
    border: Literal["drop", "pad"] = option(
        "drop",
        "a nucleus whose tile reaches beyond the field is dropped (drop) or completed by reflection (pad)",
        source="docs/decisions.md",
    )
    dtype: Literal["uint16", "uint8"] = option(
        "uint16", "uint16 keeps the counts; uint8 maps each channel's range of the plate to 0..255"
    )
    ranges: Mapping[str, Numbers] | None = option(
        None,
        "low and high count of each channel for uint8; null takes them from a sample of the plate's fields",
        unit="counts",
    )
    range_sites: int = option(24, "fields sampled for the ranges", ge=1)
    range_quantiles: Numbers = option(
        (0.001, 0.9995), "quantiles of the sampled pixels that become 0 and 255", min_length=2, max_length=2
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        low, high = self.range_quantiles
        if not 0 <= low < high <= 1:
            yield "range_quantiles", f"[{low}, {high}] are not two rising fractions from 0 to 1"
        for channel, limits in (self.ranges or {}).items():
            if len(limits) != 2 or not limits[0] < limits[1]:
                yield f"ranges.{channel}", f"{list(limits)} is not [low, high] in counts"
