"""One rule for the names of plates, batches, sources and channels, in sheets, lists, file names and the config.

Such names become parts of file names, wildcards of the workflow and columns of tables, so they are plain: what one step
accepts every later one accepts too. Compounds, treatments and groups are text of any kind and never part of a path.
"""

import re

PATTERNS = {
    "source": r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "batch": r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "plate": r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "channel": r"[A-Za-z0-9]{1,40}",
}
"""Kind of name to the regular expression that the whole name matches."""

_RULES = {
    "channel": "may have only letters and digits, 40 at most",
    "other": "may have only letters, digits, dot, dash and underscore, 100 at most, and begins with a letter or digit",
}


def name_problem(kind: str, text: str) -> str:
    """Why `text` cannot be the name of a `kind` (a key of PATTERNS); "" when it can.

    The sentence goes after the name: "plate '../P1' may have only ...".
    """
    if not text:
        return "is blank; fill it in"
    if re.fullmatch(PATTERNS[kind], text) is None:
        suggestion = re.sub(r"[^A-Za-z0-9]" if kind == "channel" else r"[^A-Za-z0-9._-]+", "", text)
        hint = f"; {suggestion} would do" if suggestion and re.fullmatch(PATTERNS[kind], suggestion) else ""
        return _RULES.get(kind, _RULES["other"]) + hint
    if kind != "channel" and text.endswith("."):
        return "ends with a dot, which some file systems drop"
    return ""


def plain_name(text: str) -> str:
    """Return `text` if it can be part of a path, as plate names can; a ValueError says why not."""
    return _checked("plate", text)


def plain_channel(text: str) -> str:
    """Return `text` if it can be the name of a channel; a ValueError says why not."""
    return _checked("channel", text)


def _checked(kind: str, text: str) -> str:
    if problem := name_problem(kind, text):
        raise ValueError(f"the name {text!r} {problem}")
    return text
