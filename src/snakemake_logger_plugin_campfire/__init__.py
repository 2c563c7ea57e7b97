"""Snakemake's logger plugin `campfire`: one line per stage of a run (`snakemake --logger campfire`).

Snakemake imports every package of this name as it starts; without the option nothing here is used.
"""

from campfire.runs.progress.handler import LogHandler

__all__ = ["LogHandler"]
