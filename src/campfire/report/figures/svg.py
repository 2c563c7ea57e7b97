"""Smaller SVG files: images of cells as JPEG, points drawn as an image with a palette, no indentation."""

import base64
import io
import re

QUALITY = 80
"""JPEG quality of images of cells: at 200 dpi it looks like the PNG in print."""
COLOURS = 256
"""Palette of a transparent image, which holds the points of a map."""
GAIN = 0.5
"""An image is replaced if that takes less than this share of its bytes: images of cells are, heat maps are not."""
_IMAGE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
_INDENT = re.compile(r"\n\s*(?=<)")


def compact(text: str) -> str:
    """The SVG of matplotlib, drawn alike and a fraction as long.

    Sheets of cells hold hundreds of images with camera noise, which lossless compression does not shrink.
    """
    return _IMAGE.sub(_smaller, _INDENT.sub("\n", text).replace(" \n", "\n"))


def _smaller(found: re.Match[str]) -> str:
    """The address of the image as JPEG, or with a palette where it is transparent; unchanged if that gains little."""
    from PIL import Image

    png, buffer = base64.b64decode(found[1]), io.BytesIO()
    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGBA")
    bands, kind = image.split(), "jpeg"
    if bands[3].getextrema() != (255, 255):
        kind = "png"
        image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(buffer, "PNG", optimize=True)
    else:
        grey = bands[0].tobytes() == bands[1].tobytes() == bands[2].tobytes()
        opaque = bands[0] if grey else Image.merge("RGB", bands[:3])
        opaque.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    if buffer.tell() > GAIN * len(png):
        return found[0]
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
