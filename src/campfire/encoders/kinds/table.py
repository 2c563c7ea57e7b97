"""Kind `table`: embeddings made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from campfire.core.options import Names, Options, option
from campfire.encoders.registry import register

if TYPE_CHECKING:
    from campfire.encoders.base import Encoder


class CellTableOptions(Options):
    """A table with a row per cell (or per well) and where its columns are."""

    kind: Literal["table"] = "table"
    path: str = option("", "the table: .parquet, .csv, .tsv (or .gz of these) or AnnData (.h5ad)")
    plate: str | None = option(None, "column of the plate; by default Metadata_Plate, plate, barcode, …")
    well: str | None = option(None, "column of the well; by default Metadata_Well, well, …")
    site: str | None = option(None, "column of the site; by default Metadata_Site, site, field, …; wells have none")
    nucleus: str | None = option(None, "column of this run's label of the nucleus; by default Metadata_Nucleus")
    y: str | None = option(None, "column of the row of the cell's centre; by default y, Nuclei_Location_Center_Y, …")
    x: str | None = option(None, "column of its column; by default x, Nuclei_Location_Center_X, …")
    tolerance: float = option(8.0, "largest distance of a centre from this run's nucleus", unit="px", gt=0)
    scale: float = option(1.0, "this run's pixels per unit of the table's centres", gt=0)
    features: Names | str = option((), "columns of the embedding, or how they begin; by default all numeric ones")
    licence: str = option("", "licence of the embeddings, for the tables")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """A centre has two coordinates."""
        if not self.path:
            yield "path", "is missing: give the table"
        if (self.y is None) != (self.x is None):
            yield "y" if self.y is None else "x", "is missing: a centre needs both columns"

    @property
    def columns(self) -> dict[str, str]:
        """The columns that are named."""
        roles = ("plate", "well", "site", "nucleus", "y", "x")
        return {role: column for role in roles if (column := getattr(self, role))}


@register("table", CellTableOptions)
def make_table(options: CellTableOptions, name: str, device: str) -> Encoder:
    """The table as an encoder of cells."""
    from campfire.encoders.cell_table import TableEncoder
    from campfire.encoders.table_reader import read_cell_table

    features = options.features if isinstance(options.features, str) else list(options.features)
    table = read_cell_table(options.path, options.columns, features)
    return TableEncoder(name, table, options.tolerance, options.scale)
