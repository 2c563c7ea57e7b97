"""Check the types of workflow/scripts, in which Snakemake defines the name `snakemake`: mypy on copies that declare it.

`python tools/check_scripts.py` prints mypy's messages with the scripts' own names and lines; exit code as mypy's.
"""

import ast
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"
DECLARATION = "from typing import Any as _Any; snakemake: _Any"


def declared(text: str) -> str:
    """A script with the declaration in the blank line after its docstring, which keeps line numbers."""
    lines = text.splitlines()
    end = ast.parse(text).body[0].end_lineno or 1
    if lines[end].strip():
        raise ValueError("a script begins with its docstring and a blank line")
    lines[end] = DECLARATION
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run mypy on the copies."""
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(SCRIPTS.glob("*.py")):
            (Path(folder) / path.name).write_text(declared(path.read_text(encoding="utf-8")), encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        print(done.stdout.replace(f"{folder}/", "workflow/scripts/"), end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
