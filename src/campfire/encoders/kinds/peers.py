"""Options that published encoders share."""

from __future__ import annotations

import re
from collections.abc import Iterator

from campfire.core.options import Options, option

HUB_NAME = re.compile(r"hf-hub:(?P<repository>[^/@]+/[^/@]+)@(?P<revision>[0-9a-f]{40})(?:/(?P<file>.+))?")
"""Weights on the model hub, pinned to a commit."""


class PeerOptions(Options):
    """Weights of a published encoder, and the size of its tiles."""

    weights: str = option("", "the authors' file, or hf-hub:<owner>/<model>@<40-digit commit>[/<file>]")
    sha256: str = option("", "SHA-256 of the weights file; another one is refused")
    heads: int | None = option(None, "attention heads; by default 64 features each, as in every standard ViT", ge=1)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.weights.startswith("hf-hub:") and not HUB_NAME.fullmatch(self.weights):
            yield (
                "weights",
                f"{self.weights} pins no revision; write hf-hub:<owner>/<model>@<40-digit commit>[/<file>]",
            )


JUMP_ORDER = ("Mito", "AGP", "RNA", "ER", "DNA")
"""The order of the fluorescence channels in ChannelViT's and ContextViT's JUMP-CP data."""
JUMP_MEAN = (4.0317435, 1.5659353, 3.773679, 3.460525, 4.172317)
JUMP_DEVIATION = (17.31844, 12.015919, 16.966059, 15.064776, 17.964119)
"""Their grey levels there, of cells whose background was set to zero."""
