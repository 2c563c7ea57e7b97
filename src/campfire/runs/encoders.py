"""What an encoder of the config needs: weights, the options the library builds it from, user-supplied code."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campfire.encoders import KINDS
from campfire.runs.contents import own_modules
from campfire.runs.files import Files, existing, weight_files
from campfire.runs.fingerprint import syntax_digest
from campfire.runs.settings import in_order
from campfire.training.options import AugmentOptions


@dataclass(frozen=True)
class PlannedEncoder:
    """An entry of `encoders`; `pretraining` holds the result options of the run that it names, if it names one.

    masked: the encoder that an entry of kind `masked` shows masked tiles to
    """

    name: str
    options: Mapping[str, Any]
    pretraining: Mapping[str, Any]
    files: Files
    masked: "PlannedEncoder | None" = None

    @property
    def run(self) -> str | None:
        """The pretraining run whose weights it uses; an untrained twin has none."""
        if self.masked is not None:
            return self.masked.run
        return self.options.get("run") if self.options["kind"] == "pretrained" else None

    @property
    def factories(self) -> list[str]:
        """The functions that build it, as module:function; those of the encoder behind masked tiles too."""
        make = KINDS[self.options["kind"]].make
        return [f"{make.__module__}:{make.__name__}", *(self.masked.factories if self.masked else [])]

    @property
    def is_table(self) -> bool:
        """Whether it is a table of embeddings made elsewhere, which needs no tiles."""
        return bool(self.options["kind"] == "table")

    @property
    def weights(self) -> list[str]:
        """The file of weights, or of embeddings made elsewhere, that it reads, if it reads one."""
        if self.masked is not None:
            return self.masked.weights
        if self.run:
            return [self.files.pretrained(self.run)]
        if self.is_table:
            return [self.options["path"]] if self.options.get("path") else []
        if self.options["kind"] == "untrained" and "run" in self.options:
            return weight_files([self.pretraining.get("imagenet")])
        model = str(self.options.get("model") or "")
        if self.options["kind"] == "timm" and model.startswith("local-dir:"):
            folder = Path(model.removeprefix("local-dir:"))
            return existing(str(folder / name) for name in ("config.json", "model.safetensors", "pytorch_model.bin"))
        return weight_files([self.options.get("weights")])

    @property
    def given_files(self) -> list[str]:
        """The files that it reads and that no job of this workflow makes."""
        return [] if self.run else self.weights

    @property
    def spec(self) -> dict[str, Any]:
        """What `campfire.encoders.load` needs: for an untrained twin, the model of the run that it is the twin of."""
        spec: dict[str, Any] = in_order(self.options)
        if self.masked is not None:
            return {**spec, "of": self.masked.spec}
        if self.run:
            spec["weights"] = self.files.pretrained(self.run)
        if self.options["kind"] == "untrained" and "run" in self.options:
            run = self.pretraining
            spec |= {"model": run["model"], "seed": run["seed"], "channels": list(run["channels"])}
            spec["imagenet"] = run.get("imagenet", "")
            spec["normalisation"] = AugmentOptions(**run.get("augmentation", {})).normalisation
        return spec

    @property
    def module(self) -> Path | None:
        """Where the module of a user-supplied encoder should be, relative to the working folder; else None."""
        if self.masked is not None:
            return self.masked.module
        if self.options["kind"] != "python":
            return None
        *folders, module = self.options.get("factory", "").partition(":")[0].split(".")
        return Path(*folders, f"{module}.py")

    @property
    def own_code(self) -> str:
        """Digest of a user-supplied encoder's file and of the user's modules that it imports; "" for other encoders."""
        if self.module is None or not self.module.is_file():
            return ""
        first, *others = [syntax_digest(path) for path in [self.module, *self._helpers(self.module)]]
        return " ".join([first, *others])

    @staticmethod
    def _helpers(module: Path) -> list[Path]:
        return [path for path in own_modules(module) if path != module]
