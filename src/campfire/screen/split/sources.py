"""Splitting by source: whole laboratories out of distribution."""

import pandas as pd

from campfire.core.columns import SOURCE
from campfire.core.errors import ConfigError
from campfire.core.text import some
from campfire.screen.split.options import SplitOptions


def by_source(sheet: pd.DataFrame, options: SplitOptions) -> pd.DataFrame:
    """The sheet of plates with the sources of `ood_sources` out of distribution; unchanged without any.

    Their evaluation plates get the role ood, and their training plates are left out. ConfigError for a source that the
    sheet does not have.
    """
    if not options.ood_sources:
        return sheet
    known = sorted(set(sheet[SOURCE]))
    unknown = sorted(set(options.ood_sources) - set(known))
    if unknown:
        raise ConfigError(
            f"config: split.ood_sources: no plate of the sheet is of source {some(unknown)}; it has {some(known)}"
        )
    other = sheet[SOURCE].isin(options.ood_sources)
    kept = sheet[~(other & (sheet["role"] == "train"))].copy()
    kept.loc[kept[SOURCE].isin(options.ood_sources), "role"] = "ood"
    return kept.reset_index(drop=True)
