"""Output formats of a table: long data as csv, layout as Markdown, LaTeX (booktabs), HTML and JSON.

Cells of a layout are text. `**value**` stands for bold; the characters ± − × ≤ ≥ † are converted for each format.
"""

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from campfire.core.errors import DataError
from campfire.core.files import write_text
from campfire.core.text import markdown_table

_TEX_TEXT = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "†": r"$\dagger$",
    "–": "--",
    "′": r"$'$",
}


@dataclass(frozen=True)
class Table:
    """A finished table."""

    title: str
    """What the table shows, one sentence."""
    data: pd.DataFrame
    """Long form, full precision: the csv."""
    layout: pd.DataFrame
    """The printed form: text cells; the first column names the rows."""
    notes: tuple[str, ...] = ()
    """Notes on the numbers: protocol, n, intervals."""
    answer: str = ""
    """The finding in one sentence, computed from the data."""


def numeric_columns(layout: pd.DataFrame) -> list[bool]:
    """Whether each column holds numbers (aligned right) or text (left)."""
    filled = [[str(cell).strip("*") for cell in layout.iloc[:, i] if str(cell)] for i in range(layout.shape[1])]
    return [i > 0 and all(cell[0] in "0123456789+−–[" for cell in cells) for i, cells in enumerate(filled)]


def _block_starts(layout: pd.DataFrame) -> list[bool]:
    """Rows that open a new block: those named in the first column, where blocks have several rows."""
    names = [str(name) for name in layout.iloc[:, 0]]
    blocks = "" in names
    return [blocks and bool(name) and i > 0 for i, name in enumerate(names)]


def _spans(names: list[str]) -> list[int]:
    """Number of rows that each name spans: its own and the empty ones below; 0 for empty ones."""
    starts = [i for i, name in enumerate(names) if name or i == 0]
    spans = [0] * len(names)
    for start, stop in zip(starts, [*starts[1:], len(names)], strict=True):
        spans[start] = stop - start
    return spans


def _bold(cell: str, before: str, after: str) -> str:
    if len(cell) > 4 and cell.startswith("**") and cell.endswith("**"):
        return f"{before}{cell[2:-2]}{after}"
    return cell


def to_markdown(table: Table) -> str:
    """The layout as a Markdown table between title and notes."""
    right = [number for number, numeric in enumerate(numeric_columns(table.layout)) if numeric]
    body = markdown_table(list(map(str, table.layout.columns)), table.layout.to_numpy().tolist(), right, padded=True)
    parts = [f"**{table.title}**", body]
    if table.answer:
        parts.insert(1, table.answer)
    parts += list(table.notes)
    return "\n\n".join(parts) + "\n"


def tex_escape(text: str) -> str:
    """Text escaped for LaTeX."""
    return "".join(_TEX_TEXT.get(character, character) for character in text)


def _tex_head(text: str) -> str:
    """A column's head; a quadrant takes two lines."""
    first, plus, second = text.partition(" + ")
    if plus and len(text) > 18:
        return rf"\shortstack[r]{{{tex_escape(first)}\\+ {tex_escape(second)}}}"
    return tex_escape(text)


def to_latex(table: Table, label: str) -> str:
    """The layout as a LaTeX table (needs the booktabs package), with the notes under it."""
    columns = [_tex_head(str(column)) for column in table.layout.columns]
    title = re.sub(r"^Table \d+\.\d+\. ", "", table.title)  # LaTeX numbers its tables
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex_escape(title)}}}",
        rf"\label{{tab:{label}}}",
        r"\small",
        rf"\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric_columns(table.layout))}}}",
        r"\toprule",
        " & ".join(columns) + r" \\",
        r"\midrule",
    ]
    for row, starts in zip(table.layout.to_numpy(), _block_starts(table.layout), strict=True):
        if starts:
            lines.append(r"\addlinespace")
        lines.append(" & ".join(_bold(tex_escape(str(cell)), r"\textbf{", "}") for cell in row) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        lines += ["", r"\medskip", r"\parbox{\linewidth}{\footnotesize " + tex_escape(" ".join(table.notes)) + "}"]
    lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "h1{font-size:1.15rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}"
    "th,td{padding:.2rem .7rem;text-align:left;vertical-align:top}.n{text-align:right}"
    "tr.first td{border-top:1px solid #ddd;padding-top:.4rem}"
    "thead th{border-top:2px solid #1a1a1a;border-bottom:1px solid #1a1a1a}"
    "table{border-bottom:2px solid #1a1a1a}"
    ".answer{font-size:1.05rem}.note{color:#555;font-size:.85rem}"
)


def html_table(table: Table) -> str:
    """The layout as a bare HTML table element."""
    kinds = [' class="n"' if right else "" for right in numeric_columns(table.layout)]
    head = "".join(f"<th{k}>{html.escape(str(c))}</th>" for k, c in zip(kinds, table.layout.columns, strict=True))
    rows = []
    names = [str(name) for name in table.layout.iloc[:, 0]]
    spans = _spans(names)
    for i, (cells, starts) in enumerate(zip(table.layout.to_numpy(), _block_starts(table.layout), strict=True)):
        texts = [_bold(html.escape(str(cell)), "<b>", "</b>") for cell in cells]
        line = "".join(f"<td{kind}>{text}</td>" for kind, text in zip(kinds[1:], texts[1:], strict=True))
        if spans[i]:  # a name spans all rows of its block
            span = f' rowspan="{spans[i]}"' if spans[i] > 1 else ""
            line = f'<td class="name"{span}>{texts[0]}</td>{line}'
        rows.append(f'<tr class="first">{line}</tr>' if starts else f"<tr>{line}</tr>")
    body = "\n".join(rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def to_html(table: Table) -> str:
    """A standalone page (no script, no external file): title, finding, table, notes."""
    answer = f'<p class="answer">{html.escape(table.answer)}</p>\n' if table.answer else ""
    notes = "\n".join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(table.title)}</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>{html.escape(table.title)}</h1>\n{answer}{html_table(table)}\n"
        f"{notes}\n</body></html>\n"
    )


def to_json(table: Table) -> str:
    """Title, answer, notes and the layout's columns and rows, as `load` reads them back."""
    printed = {
        "title": table.title,
        "answer": table.answer,
        "notes": list(table.notes),
        "columns": [str(column) for column in table.layout.columns],
        "rows": [[str(cell) for cell in row] for row in table.layout.to_numpy()],
    }
    return json.dumps(printed, ensure_ascii=False, indent=1) + "\n"


def load(path: str | Path) -> Table:
    """The table that `save` wrote as <stem>.json and <stem>.csv; DataError when a file is missing or damaged."""
    path = Path(path)
    try:
        printed = json.loads(path.read_text(encoding="utf-8"))
        layout = pd.DataFrame(printed["rows"], columns=printed["columns"], dtype=str)
        data = pd.read_csv(path.with_suffix(".csv"))
        return Table(printed["title"], data, layout, tuple(printed["notes"]), printed["answer"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: not a saved table ({error}); delete it and make the table again") from error


def save(table: Table, stem: str | Path) -> list[Path]:
    """Write stem.csv, .md, .tex, .html and .json, each atomically; the paths written."""
    stem = Path(stem)
    texts = {
        "csv": table.data.to_csv(index=False, lineterminator="\n"),
        "md": to_markdown(table),
        "tex": to_latex(table, stem.name),
        "html": to_html(table),
        "json": to_json(table),
    }
    paths = []
    for suffix, text in texts.items():
        path = stem.with_name(f"{stem.name}.{suffix}")
        write_text(path, text)
        paths.append(path)
    return paths


def number(value: float, digits: int = 3, signed: bool = False) -> str:
    """A number with a true minus sign; an unknown one is a dash."""
    if pd.isna(value):
        return "–"
    text = f"{abs(value):.{digits}f}"
    negative = value < 0 and float(text) != 0
    return f"−{text}" if negative else (f"+{text}" if signed and float(text) != 0 else text)


def mean_and_spread(mean: float, deviation: float, fits: float) -> str:
    """A mean and the standard deviation over its fits; the mean alone for a single fit."""
    return number(mean) if fits == 1 else f"{number(mean)} ± {number(deviation)}"


def interval(low: float, high: float, digits: int = 3, signed: bool = False) -> str:
    """An interval in brackets; an unknown one is empty."""
    if pd.isna(low) or pd.isna(high):
        return ""
    return f"[{number(low, digits, signed)}, {number(high, digits, signed)}]"
