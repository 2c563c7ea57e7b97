"""The code a script depends on: the definitions of this package that it reaches, and the libraries they use.

Snakemake sees a script but not what it imports. `code_digest` follows names from the script through the package, one
function, class or constant at a time, so that a stage runs again exactly when something that it uses has changed. If a
name cannot be followed, the whole module counts: the fingerprint errs on the side of rerunning. Code that only moves
bytes or logs is ignored (`CARRIER_MODULES`, and in every module log lines and the texts of errors): docs/reruns.md.
"""

import ast
import hashlib
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from campfire.core.errors import ConfigError
from campfire.runs import definitions
from campfire.runs.definitions import WHOLE, Target, follow, module_file, take_apart

CARRIER_MODULES = frozenset(
    f"campfire.{name}"
    for name in (
        *("core.errors", "core.files", "core.memory", "core.retry", "core.text", "runs.job"),
        *("images.gallery.client", "images.gallery.folder", "images.gallery.journal", "images.gallery.outage"),
        "images.gallery.pace",
        "training.progress",
    )
)
"""Modules that read, write or report values without changing one: an edit of them reruns nothing."""
CARRIERS = frozenset(
    {"boto3", "botocore", "imagecodecs", "moto", "pyarrow", "safetensors", "snakemake", "tifffile"}
    | {"urllib3", "yaml"}
)
"""Libraries that carry data without changing it: their versions do not count."""
DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "PIL": "pillow"}
"""Import names that differ from the name of their package."""
SCRIPTS = (
    "ablation_options", "ablation_ranking", "attrition", "bundle", "check_source", "contact_sheet", "embed",
    "embed_table", "figure", "findings", "images", "leakage", "metadata", "nuclei", "page", "pretrain", "probe",
    "profiles", "provenance", "sample", "sample_transfer", "split", "table", "tiles", "transfer_head", "transfer_means",
    "unseen", "zprime"
)  # fmt: skip
"""The scripts of workflow/scripts."""


@dataclass(frozen=True)
class Reach:
    """The code a script depends on: files, digests of definitions, and names of other libraries (`numpy.mean`)."""

    files: frozenset[Path]
    digests: frozenset[str]
    outside: frozenset[str]


FUNCTION = re.compile(r"(campfire(?:\.\w+)+):(\w+)")
"""Notation of a function of this package as a root: campfire.report.tables.gaps:make."""


def _function(root: str | Path) -> Target | None:
    """The module and name of a root that is a function of this package; None for a script."""
    match = FUNCTION.fullmatch(str(root))
    if not match:
        return None
    module, name = match.groups()
    path = module_file(module)
    if path is None or name not in take_apart(path).units:
        raise ConfigError(f"{root}: this package has no such function; name it as module:function")
    return module, name


@cache
def reach(root: str | Path) -> Reach:
    """All code that `root` depends on: a script, or a function named as campfire.report.tables.gaps:make."""
    files: set[Path] = set()
    digests: set[str] = set()
    outside: set[str] = set()
    function = _function(root)
    if function:
        waiting = [function]
    else:
        start = take_apart(Path(root))
        files, digests = {start.path}, {unit.digest for unit in start.loose}
        waiting = [target for unit in start.loose for target in unit.uses]
    seen: set[Target] = set()
    while waiting:
        target = waiting.pop()
        module, name = target
        if target in seen or name in ("__version__", "__file__"):
            continue
        seen.add(target)
        if module.split(".")[0] != "campfire":
            outside.add(module if name == WHOLE else f"{module}.{name}")
            continue
        path = module_file(module)
        if path is None or module in CARRIER_MODULES:
            continue
        source = take_apart(path)
        files.add(path)
        units = list(source.loose)
        if name in source.units:
            units += source.units[name]
        elif name in source.imported:
            waiting.append(follow(source.imported[name], []))
        elif name != WHOLE and module_file(f"{module}.{name}"):
            waiting.append((f"{module}.{name}", WHOLE))
        else:
            units += [unit for group in source.units.values() for unit in group]
            if module != "campfire":
                waiting += [follow(target, []) for target in source.imported.values()]
        digests |= {unit.digest for unit in units}
        waiting += [target for unit in units for target in unit.uses]
    return Reach(frozenset(files), frozenset(digests), frozenset(outside))


def code_digest(*roots: str | Path) -> str:
    """Sixteen hex digits that change exactly when code that the roots (scripts, functions) can run changes.

    Comments, formatting, docstrings, annotations of functions, log lines, the texts of errors, the order of definitions
    and the file that a definition is in do not count; neither do carriers and the package's version.
    """
    found = [reach(root) for root in roots]
    digests, outside = ({text for one in found for text in getattr(one, kind)} for kind in ("digests", "outside"))
    text = "\n".join([*sorted(digests), *sorted(outside)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def syntax_digest(path: str | Path) -> str:
    """Sixteen hex digits of a whole Python file that is not of this package; comments and layout do not count."""
    text = Path(path).read_text(encoding="utf-8")
    with suppress(SyntaxError):  # the import reports the position
        text = ast.unparse(ast.parse(text))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def libraries(*roots: str | Path) -> list[str]:
    """Import names of the libraries whose version can change what the roots make, sorted."""
    names = {name.split(".")[0] for root in roots for name in reach(root).outside}
    return sorted(names - CARRIERS - set(sys.stdlib_module_names) - {"campfire"})


@cache
def _minor_version(package: str) -> str | None:
    """Major and minor version of a package, None where it is not installed."""
    try:
        return ".".join(version(package).split("+")[0].split(".")[:2])
    except PackageNotFoundError:
        return None


def library_versions(*roots: str | Path) -> dict[str, str]:
    """Package -> major and minor version of the `libraries` of the roots, as installed; corrections do not count."""
    packages = [DISTRIBUTIONS.get(name, name) for name in libraries(*roots)]
    return {package: number for package in packages if (number := _minor_version(package))}


@cache
def code_state(*roots: str | Path, with_libraries: bool = True) -> str:
    """Code and library versions as text, which an edit or update changes: `code 1f0c…, numpy 2.0`."""
    versions = library_versions(*roots) if with_libraries else {}
    return ", ".join([f"code {code_digest(*roots)}", *(f"{name} {number}" for name, number in versions.items())])


def forget() -> None:
    """Forget the parsed files, which are otherwise read once per process."""
    definitions.forget()
    for cached in (reach, _minor_version, code_state):
        cached.cache_clear()
