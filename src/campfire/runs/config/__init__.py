"""The config of a run: one model of all sections, checked as a whole, with a remedy for every mistake.

config = Config.read(mapping, files=["config/config.yaml", "config/demo.yaml"])   # mapping: as Snakemake merged it
config.tiles.size, config.pretrain.runs["campfire"].epochs                        # typed options, defaults filled in
config.plain()["tiles"]["size"]                                                   # the same as plain values
config.part("transfer.head").result_options()                                  # what decides a result

`Config.read` raises one ConfigError that lists everything that is wrong, each with file and line where it stands in one
of `files`. An option's default, range and meaning are defined only in its component's option class.
"""

from campfire.runs.config.model import Config

__all__ = ["Config"]
