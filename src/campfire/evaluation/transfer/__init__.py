"""Transfer to another screen: a small head on frozen embeddings, and Z' between its controls (paper section 3.5)."""

from typing import TYPE_CHECKING

from campfire.core.lazy import lazy
from campfire.evaluation.transfer.options import TransferOptions

if TYPE_CHECKING:
    from campfire.evaluation.transfer.head import Head, load_head, save_head
    from campfire.evaluation.transfer.sheet import SHEET_COLUMNS, check_trainable, read_sheet
    from campfire.evaluation.transfer.training import train_head
    from campfire.evaluation.transfer.wells import control_zprime, embed_wells

__all__ = [
    "SHEET_COLUMNS",
    "Head",
    "TransferOptions",
    "check_trainable",
    "control_zprime",
    "embed_wells",
    "load_head",
    "read_sheet",
    "save_head",
    "train_head",
]

__getattr__ = lazy(
    __name__,
    {
        "head": ["Head", "load_head", "save_head"],
        "sheet": ["SHEET_COLUMNS", "check_trainable", "read_sheet"],
        "training": ["train_head"],
        "wells": ["control_zprime", "embed_wells"],
    },
)
