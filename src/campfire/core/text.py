"""Sizes, times, lists and tables as messages and documents print them."""

from collections.abc import Collection, Iterable, Sequence


def size(count: float) -> str:
    """Bytes: 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def work_hours(hours: float) -> str:
    """Processor or GPU time: 12.5 h, 5 min, 30 s."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{hours * 60:.0f} min" if hours >= 1 / 60 else f"{hours * 3600:.0f} s"


def duration(seconds: float) -> str:
    """Time by the clock: `3 d 4 h`, `2 h 05 min`, `4 min 10 s` or `12 s`."""
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {secs:02d} s" if minutes else f"{secs} s"


def some(names: Sequence[str], most: int = 8) -> str:
    """The first of many names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def markdown_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], right: Collection[int] = (), padded: bool = False
) -> str:
    """Rows below the names of their columns in Markdown; columns with a number in `right` are aligned to the right.

    `padded` fills the cells of a column to one width, so that the text is readable as it is.
    """
    lines = [[*columns], *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    marks = ["---:" if number in right else "---" for number in range(len(columns))]
    if padded:
        widths = [max(3, *map(len, cells)) for cells in zip(*lines, strict=True)]
        lines = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
        marks = [f"{'-' * (w - 1)}:" if i in right else f":{'-' * (w - 1)}" for i, w in enumerate(widths)]
    head, *body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, f"| {' | '.join(marks)} |" if padded else f"|{'|'.join(marks)}|", *body])
