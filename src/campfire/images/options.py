"""Options of the measures by which sites are left out: the `quality` section of the config."""

from collections.abc import Iterator
from typing import ClassVar

from campfire.core.options import Names, Options, option


class QualityOptions(Options):
    """What is measured on a site and which sites are left out; a threshold of null leaves no site out."""

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
