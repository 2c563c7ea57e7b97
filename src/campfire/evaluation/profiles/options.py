"""Options of the `profiles` section: evaluations that complement the linear probe."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from campfire.core.options import Names, Options, option

Representation = Literal["raw", "sphered", "tvn"]
REPRESENTATIONS: tuple[Representation, ...] = ("raw", "sphered", "tvn")


class ProfileOptions(Options):
    """Evaluations that complement the linear probe of single cells."""

    section: ClassVar[str] = "profiles"

    representations: Annotated[Sequence[Representation], AfterValidator(tuple)] = option(
        REPRESENTATIONS,
        "embeddings as they are, sphered or TVN-normalised by the negative control of each plate",
        source="docs/decisions.md",
        min_length=1,
    )
    negative_controls: Names = option(
        ("JCP2022_033924",), "compounds by which plates are normalised (DMSO); none of them is a class", min_length=1
    )
    shrinkage: float = option(
        0.01, "share of the mean variance mixed into the controls' covariance before it is inverted", gt=0, lt=1
    )
    neighbours: int = option(
        20,
        "most neighbours that vote in k-NN; as many as the rarest compound has training rows, where these are fewer",
        ge=1,
    )
    regularisation: float = option(1.0, "inverse strength of the L2 penalty of the well-level probe", gt=0)
