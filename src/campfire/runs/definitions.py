"""The package's definitions, read from the syntax: what each means, and what it refers to. Nothing is imported."""

import ast
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
WHOLE = "*"
"""Stands for every definition of a module."""
MODULE = re.compile(r"campfire(\.\w+)+")
LOG_CALLS = frozenset({"debug", "info", "warning", "error", "exception"})
"""Methods of a module's `log` whose calls only write messages."""
LEFT_OUT = frozenset({"annotation", "ctx", "type_comment", "kind"})
"""Fields of syntax nodes that do not affect what runs."""

OPTION = frozenset({"option", "Field"})
"""Functions that declare an option (campfire.core.options)."""
OPTION_WORDS = frozenset({"description", "unit", "source", "title", "examples"})
"""Their arguments that only describe it."""

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


def _without_words(call: ast.Call) -> ast.Call:
    """A call of `option` without what only describes the option."""
    keywords = [keyword for keyword in call.keywords if keyword.arg not in OPTION_WORDS]
    arguments = call.args[:1] if isinstance(call.func, ast.Name) and call.func.id == "option" else call.args
    return ast.Call(func=call.func, args=arguments, keywords=keywords)


def _is_log_line(statement: ast.stmt) -> bool:
    """Whether a statement is `log.info(...)` or another log line."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    method = call.func if isinstance(call, ast.Call) else None
    if not isinstance(method, ast.Attribute) or not isinstance(method.value, ast.Name):
        return False
    return method.value.id == "log" and method.attr in LOG_CALLS


def _kind_of_error(statement: ast.Raise) -> ast.expr | None:
    """What a `raise` raises, without its message."""
    return statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc


@dataclass
class _Reading:
    """One pass over a definition: its meaning as text, and the names, attributes, imports and texts in it."""

    meaning: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    attributes: list[tuple[str, list[str]]] = field(default_factory=list)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def take(self, node: object) -> None:
        """Add a node and all below it, without docstrings, annotations of functions, log lines and texts of errors."""
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
        elif isinstance(node, ast.Raise):
            self.meaning.append("Raise")
            self.take(_kind_of_error(node))
            return
        elif isinstance(node, ast.stmt) and (_is_text(node) or _is_log_line(node)):
            return
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OPTION:
            node = _without_words(node)
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
            found.add(follow(names[name], chain))
        elif name in own:
            found.add((here, name))
    for text in reading.texts:
        if text.startswith("campfire.") and MODULE.fullmatch(text) and module_file(text):
            found |= {(text, WHOLE), (f"{text}.__main__", WHOLE)}
    return frozenset(found)


def follow(target: Target, chain: list[str]) -> Target:
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
def take_apart(path: Path) -> Source:
    """What a file defines, runs and imports. A script (outside the package) is one piece."""
    inside = path.is_relative_to(PACKAGE)
    place = path.relative_to(PACKAGE).with_suffix("").parts if inside else ()
    package = ["campfire", *place[:-1]] if inside else []
    here = ".".join(["campfire", *(place[:-1] if place and place[-1] == "__init__" else place)])
    source = Source(path)
    statements = []
    for part in _parts(path):
        if isinstance(part[0], ast.Import | ast.ImportFrom):
            source.imported.update(_imports(part[0], package))
        elif isinstance(part[0], ast.If) and _is_types_only(part[0]):  # also how a package names what it loads late
            for node in part[0].body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    source.imported.update(_imports(node, package))
        elif not _is_text(part[0]):
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


def forget() -> None:
    """Read the files again (they are read once in a process)."""
    for cached in (_parts, take_apart, module_file):
        cached.cache_clear()
