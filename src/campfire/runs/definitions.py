"""The definitions of the package, parsed without importing it: a digest of each, and what it refers to."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from campfire.runs.syntax import Import, Statement, statements

PACKAGE = Path(__file__).parents[1]
WHOLE = "*"
"""Stands for every definition of a module."""
MODULE = re.compile(r"campfire(\.\w+)+")
Target = tuple[str, str]
"""A dotted module name and a name inside it; WHOLE for all of it."""


@dataclass(frozen=True)
class Unit:
    """A definition: digest of its meaning, and what it refers to."""

    digest: str
    uses: frozenset[Target]


@dataclass
class Source:
    """A parsed module: definitions by name, statements that always run, and the targets of imported names."""

    path: Path
    units: dict[str, list[Unit]] = field(default_factory=dict)
    loose: list[Unit] = field(default_factory=list)
    imported: dict[str, Target] = field(default_factory=dict)


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


def _stands_for(one: Import, package: list[str]) -> tuple[str, Target]:
    """(name, what it stands for) of an import inside the package with this dotted path."""
    if not one.name:
        module = one.module if one.alias else one.module.split(".")[0]
        return one.alias or module, (module, WHOLE)
    above = package[: len(package) - one.level + 1] if one.level else []
    return one.alias or one.name, (".".join([*above, *filter(None, [one.module])]), one.name)


def _uses(
    statement: Statement, here: str, own: Collection[str], imported: Mapping[str, Target], package: list[str]
) -> frozenset[Target]:
    """What a definition refers to: own definitions, imported names, attributes of modules, modules named in texts."""
    names = {**imported, **dict(_stands_for(one, package) for one in statement.imports)}
    found: set[Target] = set()
    for name, chain in [*statement.attributes, *((name, ()) for name in statement.names)]:
        if name in names:
            found.add(follow(names[name], chain))
        elif name in own:
            found.add((here, name))
    for text in statement.texts:
        if text.startswith("campfire.") and MODULE.fullmatch(text) and module_file(text):
            found |= {(text, WHOLE), (f"{text}.__main__", WHOLE)}
    return frozenset(found)


def follow(target: Target, chain: Sequence[str] = ()) -> Target:
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
    taken = [one for part in _statements(path) if part.kind == "import" for one in part.imports if one.name]
    own_module = any((one.module, one.name) == (module, name) for one in taken)
    return name in {one.alias or one.name for one in taken} and not own_module


@cache
def _statements(path: Path) -> tuple[Statement, ...]:
    return statements(path.read_text(encoding="utf-8"))


@cache
def take_apart(path: Path) -> Source:
    """Definitions, statements and imports of a file. A script (outside the package) is one piece."""
    inside = path.is_relative_to(PACKAGE)
    place = path.relative_to(PACKAGE).with_suffix("").parts if inside else ()
    package = ["campfire", *place[:-1]] if inside else []
    here = ".".join(["campfire", *(place[:-1] if place and place[-1] == "__init__" else place)])
    source = Source(path)
    parts = _statements(path)
    for part in parts:
        if part.kind in ("import", "types"):  # types, and the names that a package imports lazily
            source.imported.update(_stands_for(one, package) for one in part.imports)
    running = [part for part in parts if part.kind in ("main", "code")]
    defined = {name for part in running for name in part.bound} if inside else set()
    for part in running:
        unit = Unit(part.digest, _uses(part, here, defined, source.imported, package))
        names = (["__main__"] if part.kind == "main" else part.bound) if inside else ()
        for name in names:
            source.units.setdefault(name, []).append(unit)
        if not names:
            source.loose.append(unit)
    return source


def forget() -> None:
    """Forget the parsed files, which are otherwise read once per process."""
    for cached in (_statements, take_apart, module_file):
        cached.cache_clear()
