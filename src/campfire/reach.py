"""What a script can run: the definitions of this package that it reaches, and the libraries that these use.

Snakemake sees a script but not what it imports. From the syntax alone (nothing is imported) `code_digest` follows names
from the script through the package, one function, class or constant at a time, so that a stage runs again exactly when
something that it uses has changed. Where a name cannot be followed, the whole module counts: too much rather than too
little.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).parent
WHOLE = "*"
"""Stands for every definition of a module."""
CARRIERS = frozenset(
    {"boto3", "botocore", "imagecodecs", "job", "jsonschema", "moto", "pyarrow", "safetensors", "snakemake", "tifffile"}
    | {"urllib3", "yaml"}
)
"""Libraries that carry data without changing it (and the scripts' own `job`): their versions do not count."""
DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "PIL": "pillow"}
"""Import names whose package is called otherwise."""

MODULE = re.compile(r"campfire(\.\w+)+")
LEFT_OUT = frozenset({"annotation", "ctx", "type_comment", "kind"})
"""Fields of syntax nodes without meaning for what runs."""

Target = tuple[str, str]
"""A dotted module name and a name inside it; WHOLE for all of it."""


@dataclass(frozen=True)
class Unit:
    """A definition: digest of its meaning, and what it refers to."""

    digest: str
    uses: frozenset[Target]


@dataclass
class Source:
    """A module taken apart: definitions by name, statements that always run, and what imported names stand for."""

    path: Path
    units: dict[str, list[Unit]] = field(default_factory=dict)
    loose: list[Unit] = field(default_factory=list)
    imported: dict[str, Target] = field(default_factory=dict)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@dataclass
class _Reading:
    """One pass over a definition: its meaning as text, and the names, attributes, imports and texts in it."""

    meaning: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    attributes: list[tuple[str, list[str]]] = field(default_factory=list)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def take(self, node: object) -> None:
        """Add a node and all below it; docstrings and the annotations of functions change nothing that runs."""
        if isinstance(node, list):
            self.meaning.append("[")
            for part in node:
                self.take(part)
            self.meaning.append("]")
            return
        if not isinstance(node, ast.AST):
            self.meaning.append(repr(node))
            return
        if isinstance(node, ast.Name):
            self.names.append(node.id)
            self.meaning.append(node.id)
            return
        if isinstance(node, ast.Attribute):
            self._take_attribute(node)
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.texts.append(node.value)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self.imports.append(node)
        elif isinstance(node, ast.stmt) and _is_text(node):
            return
        self.meaning.append(type(node).__name__)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in node._fields:
            if name in LEFT_OUT or (name == "returns" and is_function):
                continue
            self.take(getattr(node, name, None))
            self.meaning.append(",")
        if isinstance(node, ast.AnnAssign):  # the annotation of a field or variable counts: dataclasses read it
            self.take(node.annotation)

    def _take_attribute(self, node: ast.Attribute) -> None:
        chain: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            chain.insert(0, base.attr)
            base = base.value
        if isinstance(base, ast.Name):
            self.attributes.append((base.id, chain))
            self.meaning.append(base.id)
        else:
            self.take(base)
        self.meaning.append("." + ".".join(chain))


@cache
def module_file(name: str) -> Path | None:
    """The source file of a `campfire…` module, or None if the dotted name is not a module."""
    first, *parts = name.split(".")
    if first != "campfire":
        return None
    folder = PACKAGE.joinpath(*parts)
    if (folder / "__init__.py").is_file():
        return folder / "__init__.py"
    single = folder.with_suffix(".py")
    return single if parts and single.is_file() else None


def _imports(node: ast.Import | ast.ImportFrom, package: list[str]) -> Iterator[tuple[str, Target]]:
    """(name, what it stands for) of an import statement inside the package with this dotted path."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            module = alias.name if alias.asname else alias.name.split(".")[0]
            yield alias.asname or module, (module, WHOLE)
        return
    above = package[: len(package) - node.level + 1] if node.level else []
    module = ".".join([*above, *filter(None, [node.module])])
    for alias in node.names:
        yield alias.asname or alias.name, (module, alias.name)


def _uses(
    reading: _Reading, here: str, own: Collection[str], imported: Mapping[str, Target], package: list[str]
) -> frozenset[Target]:
    """What a definition refers to: own definitions, imported names, attributes of modules, modules named in texts."""
    names = dict(imported)
    for statement in reading.imports:
        names.update(_imports(statement, package))
    found: set[Target] = set()
    for name, chain in [*reading.attributes, *((name, []) for name in reading.names)]:
        if name in names:
            found.add(_follow(names[name], chain))
        elif name in own:
            found.add((here, name))
    for text in reading.texts:
        if text.startswith("campfire.") and MODULE.fullmatch(text) and module_file(text):
            found |= {(text, WHOLE), (f"{text}.__main__", WHOLE)}
    return frozenset(found)


def _follow(target: Target, chain: list[str]) -> Target:
    """The target of `name.a.b`, given that of `name`: modules are entered, the first other name is what is used."""
    module, name = target
    if name != WHOLE and module_file(f"{module}.{name}") and not _defines(module, name):
        module, name = f"{module}.{name}", WHOLE
    for part in chain:
        if name != WHOLE:
            break
        module, name = (f"{module}.{part}", WHOLE) if module_file(f"{module}.{part}") else (module, part)
    return module, name


def _defines(module: str, name: str) -> bool:
    """Whether a package's own file binds a name that one of its modules also has."""
    path = module_file(module)
    if path is None:
        return False
    body = [statement for statement, _, _ in _parts(path)]
    bound = {alias for node in body if isinstance(node, ast.ImportFrom) for alias, _ in _imports(node, [])}
    own_module = any(
        isinstance(node, ast.ImportFrom) and node.module == module and any(a.name == name for a in node.names)
        for node in body
    )
    return name in bound and not own_module


@cache
def _statements(text: str) -> list[tuple[ast.stmt, _Reading, str]]:
    """The statements at the top of a file with this text, what is read of each, and the digest of its meaning."""
    found = []
    for statement in ast.parse(text).body:
        reading = _Reading()
        reading.take(statement)
        found.append((statement, reading, hashlib.sha256(" ".join(reading.meaning).encode()).hexdigest()))
    return found


@cache
def _parts(path: Path) -> list[tuple[ast.stmt, _Reading, str]]:
    return _statements(path.read_text(encoding="utf-8"))


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a statement at the top of a module defines; [] for statements that just run."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    names = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [part.id for part in names if isinstance(part, ast.Name)] if targets else []


def _is_types_only(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


@cache
def _source(path: Path) -> Source:
    """Take a file apart. A script (outside the package) is one piece."""
    inside = path.is_relative_to(PACKAGE)
    place = path.relative_to(PACKAGE).with_suffix("").parts if inside else ()
    package = ["campfire", *place[:-1]] if inside else []
    here = ".".join(["campfire", *(place[:-1] if place and place[-1] == "__init__" else place)])
    source = Source(path)
    statements = []
    for part in _parts(path):
        if isinstance(part[0], ast.Import | ast.ImportFrom):
            source.imported.update(_imports(part[0], package))
        elif not _is_types_only(part[0]) and not _is_text(part[0]):
            statements.append(part)
    defined = {name for statement, _, _ in statements for name in _bound(statement)} if inside else set()
    for statement, reading, digest in statements:
        unit = Unit(digest, _uses(reading, here, defined, source.imported, package))
        names = _bound(statement) if inside else []
        if inside and _is_main(statement):
            names = ["__main__"]
        for name in names:
            source.units.setdefault(name, []).append(unit)
        if not names:
            source.loose.append(unit)
    return source


@dataclass(frozen=True)
class Reach:
    """What a script can run: files, digests of definitions, and names of other libraries (`numpy.mean`)."""

    files: frozenset[Path]
    digests: frozenset[str]
    outside: frozenset[str]


@cache
def reach(script: str | Path) -> Reach:
    """Everything that `script` can run."""
    start = _source(Path(script))
    files, digests, outside = {start.path}, {unit.digest for unit in start.loose}, set()
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
        if path is None:
            continue
        source = _source(path)
        files.add(path)
        units = list(source.loose)
        if name in source.units:
            units += source.units[name]
        elif name in source.imported:
            waiting.append(_follow(source.imported[name], []))
        elif name != WHOLE and module_file(f"{module}.{name}"):
            waiting.append((f"{module}.{name}", WHOLE))
        else:
            units += [unit for group in source.units.values() for unit in group]
            if module != "campfire":
                waiting += [_follow(target, []) for target in source.imported.values()]
        digests |= {unit.digest for unit in units}
        waiting += [target for unit in units for target in unit.uses]
    return Reach(frozenset(files), frozenset(digests), frozenset(outside))


def code_files(script: str | Path) -> list[Path]:
    """`script` and every file of this package that it uses something of, sorted."""
    return [Path(script), *sorted(reach(script).files - {Path(script)})]


def code_digest(script: str | Path) -> str:
    """Sixteen hex digits that change exactly when code that `script` can run changes.

    Comments, formatting, docstrings, annotations of functions, the order of definitions and the file that a definition
    is in do not count; neither does the package's version.
    """
    found = reach(script)
    text = "\n".join([*sorted(found.digests), *sorted(found.outside)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def libraries(script: str | Path) -> list[str]:
    """Import names of the libraries whose version can change what `script` makes, sorted."""
    names = {name.split(".")[0] for name in reach(script).outside}
    return sorted(names - CARRIERS - set(sys.stdlib_module_names) - {"campfire"})


@cache
def _minor_version(package: str) -> str | None:
    """Major and minor version of a package, None where it is not installed."""
    try:
        return ".".join(version(package).split("+")[0].split(".")[:2])
    except PackageNotFoundError:
        return None


def library_versions(script: str | Path) -> dict[str, str]:
    """Package -> major and minor version of the `libraries` of a script, as installed; corrections do not count."""
    packages = [DISTRIBUTIONS.get(name, name) for name in libraries(script)]
    return {package: number for package in packages if (number := _minor_version(package))}


@cache
def code_state(script: str | Path, with_libraries: bool = True) -> str:
    """What an edit or an update changes, in words: `code 1f0c…` and `library_versions`, e.g. `, numpy 2.0`."""
    versions = library_versions(script) if with_libraries else {}
    return ", ".join([f"code {code_digest(script)}", *(f"{name} {number}" for name, number in versions.items())])


def forget() -> None:
    """Read the files again (they are read once in a process)."""
    for cached in (_parts, _source, reach, module_file, _minor_version, code_state):
        cached.cache_clear()
