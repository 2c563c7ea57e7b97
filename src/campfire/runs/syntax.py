"""The statements at the top of a Python file: what each means, and the names in it. Nothing is imported or followed.

What a file holds depends on its text alone, so it is remembered between processes: every job of a cluster reads the
whole workflow.
"""

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

LOG_CALLS = frozenset({"debug", "info", "warning", "error", "exception"})
"""Methods of a module's `log` whose calls only write messages."""
LEFT_OUT = frozenset({"annotation", "ctx", "type_comment", "kind"})
"""Fields of syntax nodes that do not affect what runs."""

OPTION = frozenset({"option", "Field"})
"""Functions that declare an option (campfire.core.options)."""
OPTION_WORDS = frozenset({"description", "unit", "source", "title", "examples"})
"""Their arguments that only describe it."""


@dataclass(frozen=True)
class Import:
    """One name that an import statement binds.

    module: as written; level: leading dots; name: what is taken from the module, "" for the module itself
    alias: the name in the importing file, "" where it is the imported one
    """

    module: str
    level: int
    name: str
    alias: str


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a file.

    kind: import, types (a block for type checkers only), text (a docstring), main (`if __name__ == …`) or code
    bound: names that it defines; digest: changes exactly when its meaning does
    names, attributes, imports, texts: what is inside it; attributes as (name, what follows its dots)
    """

    kind: Literal["import", "types", "text", "main", "code"]
    bound: tuple[str, ...]
    digest: str
    names: tuple[str, ...]
    attributes: tuple[tuple[str, tuple[str, ...]], ...]
    imports: tuple[Import, ...]
    texts: tuple[str, ...]


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
    attributes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
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
            self.imports += imports(node)
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
            self.attributes.append((base.id, tuple(chain)))
            self.meaning.append(base.id)
        else:
            self.take(base)
        self.meaning.append("." + ".".join(chain))


def imports(node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    """The names that an import statement binds."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield Import(alias.name, 0, "", alias.asname or "")
        else:
            yield Import(node.module or "", node.level, alias.name, alias.asname or "")


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


def _kind(statement: ast.stmt) -> Literal["import", "types", "text", "main", "code"]:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return "import"
    if _is_text(statement):
        return "text"
    if isinstance(statement, ast.If):
        test = ast.unparse(statement.test)
        if test in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return "types"
        if "__name__" in test:
            return "main"
    return "code"


def read(text: str) -> Iterator[Statement]:
    """The statements at the top of a file with this text; SyntaxError where it is none of Python's."""
    for node in ast.parse(text).body:
        reading, kind = _Reading(), _kind(node)
        reading.take(node)
        bindings = reading.imports
        if kind == "types" and isinstance(node, ast.If):  # an `else` of it runs, and binds nothing that is followed
            inside = [part for part in node.body if isinstance(part, ast.Import | ast.ImportFrom)]
            bindings = [one for part in inside for one in imports(part)]
        yield Statement(
            kind,
            tuple(_bound(node)),
            hashlib.sha256(" ".join(reading.meaning).encode()).hexdigest(),
            tuple(dict.fromkeys(reading.names)),
            tuple(dict.fromkeys(reading.attributes)),
            tuple(bindings),
            tuple(dict.fromkeys(reading.texts)),
        )


# Memory --------------------------------------------------------------------------------------------------------------


@cache
def memory() -> Path:
    """The folder of what was read before, another one for each Python and each version of this file."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).hexdigest()[:16]
    return caches / "campfire" / f"syntax-{version}"


@cache
def statements(text: str) -> tuple[Statement, ...]:
    """The same as `read`, from memory where the text was read before."""
    path = memory() / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):  # none, half of one, or no rights: read the text
        return tuple(_restored(values) for values in json.loads(path.read_text(encoding="utf-8")))
    found = tuple(read(text))
    with suppress(OSError):  # no fsync, as in core.files: half a file is read as none
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps([asdict(statement) for statement in found]), encoding="utf-8")
        os.replace(partial, path)
    return found


def _restored(values: dict[str, Any]) -> Statement:
    """A statement from its JSON."""
    return Statement(
        kind=values["kind"],
        bound=tuple(values["bound"]),
        digest=values["digest"],
        names=tuple(values["names"]),
        attributes=tuple((name, tuple(chain)) for name, chain in values["attributes"]),
        imports=tuple(Import(**one) for one in values["imports"]),
        texts=tuple(values["texts"]),
    )
