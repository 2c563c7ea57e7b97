"""Tables of the evaluation: each module builds one `Table`, `save` writes it as csv, md, tex and html.

results = probe_results(paths)
table = accuracies.build(results, TableOptions(labels={"campfire": "Campfire"}))
save(table, "results/tables/accuracies")
save(table_3_1.build(table.data, options), "results/tables/table_3_1")
"""

from typing import TYPE_CHECKING

from campfire.core.lazy import lazy
from campfire.report.tables.options import TableOptions

if TYPE_CHECKING:
    from campfire.report.tables import (
        ablation,
        accuracies,
        attrition,
        differences,
        gaps,
        leakage,
        paper,
        profiles,
        protocols,
        quadrants,
        table_3_1,
        table_3_2,
        transfer,
    )
    from campfire.report.tables.render import Table, save
    from campfire.report.tables.sources import ProbeResult, probe_results

__all__ = [
    "ProbeResult",
    "Table",
    "TableOptions",
    "ablation",
    "accuracies",
    "attrition",
    "differences",
    "gaps",
    "leakage",
    "paper",
    "probe_results",
    "profiles",
    "protocols",
    "quadrants",
    "save",
    "table_3_1",
    "table_3_2",
    "transfer",
]

__getattr__ = lazy(__name__, {"render": ["Table", "save"], "sources": ["ProbeResult", "probe_results"]})
