"""The tree: which room may import which, how many rooms there are, how long modules and functions get."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

FLOORS = (
    {"core"},
    {"screen"},
    {"model"},
    {"images"},
    {"encoders", "training"},
    {"evaluation"},
    {"simulate"},
    {"report"},
    {"runs"},
    {"export"},
    {"cli"},
)
"""Rooms from the ground up: a room imports from floors below its own only."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
NEVER = {("evaluation", "training"), ("runs", "simulate")}
"""Arrows that point down and still have no reason to be."""

LINES_OF_A_MODULE, LINES_OF_A_FUNCTION = 350, 60


@pytest.fixture(scope="module")
def package(repository: Path) -> Path:
    return repository / "src" / "campfire"


def modules_imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything of this package that a file imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.startswith("campfire."))
        elif isinstance(node, ast.ImportFrom) and node.module == "campfire":
            yield from ((node.lineno, f"campfire.{alias.name}") for alias in node.names if alias.name != "__version__")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("campfire."):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def room_of(name: str) -> str:
    return name.split(".")[1]


def test_imports_point_one_way(package: Path) -> None:
    wrong = []
    for path in package.rglob("*.py"):
        inside = path.relative_to(package)
        room = inside.parts[0].removesuffix(".py")
        if room.startswith("__"):
            continue
        for line, name in modules_imported(ast.parse(path.read_text(encoding="utf-8"))):
            other = room_of(name)
            if other != room and (FLOOR[other] >= FLOOR[room] or (room, other) in NEVER):
                wrong.append(f"{inside}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_modules_import_each_other_in_no_circle(package: Path) -> None:
    """Imports at the top of modules; an import inside a function waits until both are complete."""
    names = {module_name(path, package): path for path in package.rglob("*.py")}
    arrows: dict[str, set[str]] = defaultdict(set)
    for name, path in names.items():
        body = ast.parse(path.read_text(encoding="utf-8")).body
        at_top = ast.Module([node for node in body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        for _, target in modules_imported(at_top):
            module = target if target in names else target.rpartition(".")[0]
            if module in names and module != name and not name.startswith(module + "."):
                arrows[name].add(module)
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name not in done:
            for other in sorted(arrows[name]):
                visit(other, (*above, name))
            done.add(name)

    for name in sorted(names):
        visit(name, ())


def test_rooms_are_few(package: Path) -> None:
    packages = [path for path in package.iterdir() if (path / "__init__.py").is_file()]
    loose = [path for path in package.glob("*.py") if path.stem != "__init__"]
    assert len(packages) <= 12 and len(loose) <= 5


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_modules_and_functions_are_short(repository: Path) -> None:
    long = []
    for folder in ("src", "workflow", "tools"):
        for path in (repository / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if text.count("\n") > LINES_OF_A_MODULE:
                long.append(f"{path}: {text.count(chr(10))} lines")
            for function in functions(ast.parse(text)):
                lines = (function.end_lineno or 0) - function.lineno + 1
                if lines > LINES_OF_A_FUNCTION:
                    long.append(f"{path}:{function.lineno} {function.name}: {lines} lines")
    assert not long, "\n".join(long)
