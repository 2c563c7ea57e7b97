"""What made a result: digests of the code behind a stage, versions, hardware, input checksums."""

import ast
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
PACKAGES = [
    *("numpy", "scipy", "pandas", "pyarrow", "torch", "timm", "cellpose", "scikit-image", "scikit-learn", "tifffile"),
    *("boto3", "matplotlib", "snakemake", "copairs"),
]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """Drop docstrings in place: like comments, they change nothing that runs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def _module_file(name: str) -> Path | None:
    """The source file of a `campfire.…` module, or None if the dotted name is not a module."""
    parts = name.split(".")[1:]
    folder = PACKAGE.joinpath(*parts)
    if (folder / "__init__.py").is_file():
        return folder / "__init__.py"
    single = folder.with_suffix(".py")
    return single if parts and single.is_file() else None


def _imported_modules(tree: ast.Module, path: Path) -> set[str]:
    """Dotted names of the campfire modules that the file at `path` imports, at any depth of nesting."""
    inside = path.is_relative_to(PACKAGE)
    package = ["campfire", *path.parent.relative_to(PACKAGE).parts] if inside else []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            names.update([module, *(f"{module}.{alias.name}" for alias in node.names)])
    return {name for name in names if name.startswith("campfire.") and _module_file(name) is not None}


@cache
def _parsed(path: Path) -> tuple[str, frozenset[str]]:
    """Digest of a file's meaning (comments, layout and docstrings left out) and the campfire modules it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    imported = frozenset(_imported_modules(tree, path))
    text = ast.dump(_without_docstrings(tree), include_attributes=False)
    return hashlib.sha256(text.encode()).hexdigest(), imported


def code_files(script: str | Path) -> list[Path]:
    """`script` and every campfire module it reaches through imports, sorted.

    A package's `__init__` counts only when it is imported by name, so that a stage that uses `campfire.tiles.store`
    does not depend on what its neighbours re-export.
    """
    seen: dict[str, Path] = {}
    waiting = list(_parsed(Path(script))[1])
    while waiting:
        name = waiting.pop()
        path = _module_file(name)
        if name in seen or path is None:
            continue
        seen[name] = path
        waiting.extend(_parsed(path)[1])
    return [Path(script), *(seen[name] for name in sorted(seen))]


def code_digest(script: str | Path) -> str:
    """Sixteen hex digits that change exactly when code that `script` can run changes.

    Snakemake does not see the modules that a script imports; the workflow passes this digest as a rule parameter.
    Comments, formatting and docstrings do not count.
    """
    total = hashlib.sha256()
    for path in code_files(script):
        total.update(_parsed(path)[0].encode())
    return total.hexdigest()[:16]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def value_digest(value: Any) -> str:
    """Sixteen hex digits of a JSON-like value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of the packages that a result may depend on."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """The machine as far as it can be told without importing torch: processor, cores, memory, GPUs."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    facts: dict[str, Any] = {"processor": model, "cores": len(os.sched_getaffinity(0)), "system": platform.platform()}
    memory = Path("/proc/meminfo")
    if memory.is_file():
        facts["memory_gib"] = round(int(memory.read_text(encoding="utf-8").split()[1]) / 2**20, 1)
    try:
        query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
        gpus = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
        facts["gpus"] = [gpu.strip() for gpu in gpus if gpu.strip()]
    except (OSError, subprocess.SubprocessError):
        facts["gpus"] = []
    return facts


def git_commit(folder: str | Path) -> str:
    """The checkout's commit, with `+changes` when tracked files differ; `unknown` outside a checkout."""
    try:
        git = ["git", "-C", str(folder)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if status.strip() else "")
