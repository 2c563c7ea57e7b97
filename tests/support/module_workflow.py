"""The Snakefile of docs/module.md: this workflow as a module of another one, with a rule on top of its embeddings."""

import re
from collections.abc import Sequence
from pathlib import Path

RULE = '''
rule count:
    """Cells of all embeddings."""
    input:
        {inputs},
    output:
        "cells.txt",
    run:
        import pyarrow.parquet as pq

        rows = sum(pq.read_metadata(path).num_rows for path in input)
        with open(output[0], "w") as handle:
            print(rows, file=handle)


'''


def write_snakefile(repository: Path, folder: Path, inputs: Sequence[str]) -> None:
    """The Snakefile of the docs in `folder`, guard included, with a rule of its own in place of the example."""
    text = (repository / "docs/module.md").read_text(encoding="utf-8")
    module, guard = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    own = RULE.format(inputs=", ".join(f'"{path}"' for path in inputs))
    code = module[: module.index("rule clusters:")] + own + guard
    (folder / "Snakefile").write_text(code.replace("/path/to/campfire", str(repository)), encoding="utf-8")
