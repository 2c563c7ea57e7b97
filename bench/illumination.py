"""Effect of illumination correction: evenness of fields before and after, with a known shading.

    python bench/illumination.py [--quick] [--fields 60] [--json FILE]

1. A simulated plate with vignetting: its raw fields, the fields divided by the function in its bucket, and the fields
   divided by a function estimated from them (images.illumination.estimate).
2. The real JUMP field, if the reference data lies beside the checkout: as published, multiplied by a shading of one
   third, and with that shading divided out. The reference data does not include the function of its plate.

`spread` is (highest - lowest) / mean over 5 x 5 blocks of the mean field, above its background; `edge/centre` the mean
DNA signal of nuclei in the outer third of the field over that in the inner third; 1 is even.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from tiles import machine

from campfire.images.illumination import correct, estimate, to_uint16
from campfire.images.nuclei import NucleiOptions, match_objects, measure, segment
from campfire.simulate.field import illumination
from campfire.simulate.layout import plan_screen
from campfire.simulate.options import ScreenOptions
from campfire.simulate.screen import PIXEL_SIZE_UM, render_site

SHARED = Path(__file__).parents[2] / "shared/data/images"
Array = np.ndarray[Any, Any]


def spread(fields: list[Array]) -> float:
    """Spread of the mean field above its background (5th percentile), in 5 x 5 blocks."""
    mean = np.mean(fields, axis=0) - np.mean([np.percentile(field, 5) for field in fields])
    rows = [np.array_split(strip, 5, axis=1) for strip in np.array_split(mean, 5, axis=0)]
    blocks = np.array([[block.mean() for block in row] for row in rows])
    return float((blocks.max() - blocks.min()) / blocks.mean())


def edge_to_centre(fields: list[Array], labels: list[Array]) -> float:
    """Mean signal of nuclei far from the centre of the field, divided by that of nuclei near it."""
    near, far = [], []
    for field, label in zip(fields, labels, strict=True):
        table = measure(label, field, PIXEL_SIZE_UM, NucleiOptions(border="pad"))
        signal = table["intensity"] - np.percentile(field, 5)
        half = np.array(field.shape) / 2
        distance = np.hypot(table["y"] / half[0] - 1, table["x"] / half[1] - 1) / np.sqrt(2)
        near += list(signal[distance < 1 / 3])
        far += list(signal[distance > 2 / 3])
    return float(np.mean(far) / np.mean(near))


def simulated(n_fields: int) -> list[dict[str, Any]]:
    """The DNA channel of one simulated plate."""
    options = ScreenOptions(workers=1)
    plate = plan_screen(options).plates[0]
    sites = [(well, site) for well in plate.wells for site in range(1, 9)][:n_fields]
    drawn = [render_site(options, plate, well, site) for well, site in sites]
    fields, labels = [images[0] for images, _ in drawn], [labels for _, labels in drawn]
    function = illumination(options.field, plate.optics)
    versions = {
        "as photographed": fields,
        "divided by the plate's function": [correct(field, function / function.mean()) for field in fields],
        "divided by an estimate": [correct(field, estimate(fields)) for field in fields],
    }
    return [
        {"fields": name, "spread": spread(version), "edge_to_centre": edge_to_centre(version, labels)}
        for name, version in versions.items()
    ]


def real() -> list[dict[str, Any]]:
    """The real field; nuclei are segmented in each version and scored against the reference."""
    import tifffile

    field = tifffile.imread(next((SHARED / "s3_mirror").rglob("*ch5sk1fk1fl1.tiff")))
    reference = tifffile.imread(SHARED / "reference/jump_BR00117035_A01_s1/nuclei_labels_from_outlines.tif")
    y, x = (np.linspace(-1, 1, size) for size in field.shape)
    function = (1 + (1 - (y[:, None] ** 2 + x[None, :] ** 2) / 2) / 3).astype(np.float32)
    shaded = to_uint16(field * function)
    versions = {"as published": field, "with shading of a third": shaded, "divided out": correct(shaded, function)}
    return [
        {
            "fields": name,
            "edge_to_centre": edge_to_centre([version], [reference]),
            "f1": match_objects(segment(version, PIXEL_SIZE_UM), reference).f1,
        }
        for name, version in versions.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few fields, only to check that the script runs")
    parser.add_argument("--fields", type=int, default=60, help="simulated fields")
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    n_fields = 4 if arguments.quick else arguments.fields
    print(f"{machine()}; {n_fields} simulated fields")
    results = {"simulated plate": simulated(n_fields)}
    if SHARED.is_dir():
        results["real field"] = real()
    for name, rows in results.items():
        for row in rows:
            values = ", ".join(f"{key} {value:.3f}" for key, value in row.items() if key != "fields")
            print(f"{name:15s} {row['fields']:32s} {values}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
