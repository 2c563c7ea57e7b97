"""Where the time of segmenting a field with Cellpose goes: the network, following flows, checking masks, the rest.

    python bench/cellpose_parts.py --weights MODEL --field DNA.tiff [--pixel-size 0.598] [--fields 4]

Processor seconds per field of one thread, with the nuclei stage's own call and batch. On a GPU the network and, of the
masks, following flows and checking them run on the device; the rest stays with the processor.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tifffile
import torch
from cellpose import dynamics, models, plot, transforms

from campfire.images.nuclei import NucleiOptions
from campfire.images.nuclei.cellpose import segment_cellpose

PARTS: dict[str, tuple[Any, str]] = {
    "network": (models.CellposeModel, "_run_net"),
    "masks": (models.CellposeModel, "_compute_masks"),
    "of these, following flows": (dynamics, "follow_flows"),
    "of these, checking masks": (dynamics, "remove_bad_flow_masks"),
    "normalising": (transforms, "normalize_img"),
    "a picture of the flows, not used": (plot, "dx_to_circ"),
}


def timed(function: Callable[..., Any], spent: dict[str, float], name: str) -> Callable[..., Any]:
    """The function, adding its processor seconds to `spent`."""

    def run(*arguments: Any, **named: Any) -> Any:
        began = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[name] += time.process_time() - began

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="weights of a Cellpose 3 model")
    parser.add_argument("--field", type=Path, required=True, help="DNA image of one field")
    parser.add_argument("--pixel-size", type=float, default=0.598, help="micrometres per px")
    parser.add_argument("--fields", type=int, default=4, help="times the field is segmented, together")
    given = parser.parse_args()
    torch.set_num_threads(1)
    spent: dict[str, float] = defaultdict(float)
    for name, (place, attribute) in PARTS.items():
        setattr(place, attribute, timed(getattr(place, attribute), spent, name))
    options = NucleiOptions(method="cellpose", weights=str(given.weights), model=given.weights.name, device="cpu")
    image = tifffile.imread(given.field)
    segment_cellpose([image], given.pixel_size, options)  # compiles
    spent.clear()
    began = time.process_time()
    found = segment_cellpose([image] * given.fields, given.pixel_size, options)
    whole = (time.process_time() - began) / given.fields
    print(f"{image.shape[0]} x {image.shape[1]} px, {found[0].max()} nuclei: {whole:.2f} s a field")
    for name in PARTS:
        print(f"{name:34} {spent[name] / given.fields:6.3f} s {spent[name] / given.fields / whole:6.1%}")


if __name__ == "__main__":
    main()
