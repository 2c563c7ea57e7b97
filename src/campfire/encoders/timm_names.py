"""The names of timm's models, read from its source: importing timm imports torch and takes seconds."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)


def unknown_timm_model(name: str) -> str:
    """What is wrong with the name of a timm model; "" where nothing is, or where timm is not installed here."""
    architecture = name.partition(".")[0]
    if ":" in name or not architecture:
        return ""  # of the hub or of a folder
    files = list(_files())
    # Transformers first: most encoders are among them.
    files.sort(key=lambda path: not path.stem.startswith("vision_transformer"))
    if not files or any(_names(architecture, path) for path in files):
        return ""
    known = sorted(name for path in files for name in REGISTERED.findall(path.read_text(encoding="utf-8")))
    near = get_close_matches(architecture, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "timm.list_models() lists those it has"
    return f"timm has no model {architecture!r}; {hint}"


def _files() -> Iterator[Path]:
    spec = find_spec("timm")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield from Path(folder, "models").glob("*.py")


@cache
def _names(architecture: str, path: Path) -> bool:
    """Whether a file defines a model of this name, or maps it to its present one."""
    text = path.read_text(encoding="utf-8")
    return f"def {architecture}(" in text or f"'{architecture}'" in text
