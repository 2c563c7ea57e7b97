"""Worst difference of each related encoder from recorded outputs of its authors' code.

    python tests/support/peers.py FOLDER

checks any folder laid out like `../shared/data/peers` (one folder per encoder with config.json, weights.safetensors,
inputs.npz and outputs*.npz), prints a line per set of outputs, and exits with 1 where one is above its tolerance.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

OUTPUTS = 2e-5
"""Largest difference of an output, of max(1, |value|)."""
GRADIENTS = 1e-5
"""Largest relative difference of the norm of a parameter's gradient."""
NO_GRADIENT = 1e-6
"""Norms below this share of the model's largest are rounding errors of a gradient that is zero (a bias of all keys)."""

SLICE = re.compile(r"_(?:every_(\d+)(?:st|nd|rd|th)|first(\d+))")


@dataclass
class Report:
    """What was compared in one file of outputs."""

    peer: str
    file: str
    outputs: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    error: str = ""
    """Why nothing could be computed."""

    @property
    def passed(self) -> bool:
        """Nothing above its tolerance and something compared."""
        compared = [*self.outputs.values(), *self.gradients.values()]
        return (
            bool(self.outputs)
            and bool(np.isfinite(compared).all())
            and max(self.outputs.values()) <= OUTPUTS
            and max(self.gradients.values(), default=0.0) <= GRADIENTS
        )

    def line(self) -> str:
        """One line of text."""
        if self.error:
            return f"FAIL {self.peer:22} {self.file:38} {self.error}"
        name, worst = max(self.outputs.items(), key=lambda item: item[1], default=("nothing", np.inf))
        text = f"{'ok  ' if self.passed else 'FAIL'} {self.peer:22} {self.file:38}"
        text += f" {len(self.outputs):3} outputs, worst {worst:.1e} ({name})"
        if self.gradients:
            name, worst = max(self.gradients.items(), key=lambda item: item[1])
            text += f"; {len(self.gradients)} gradient norms, worst {worst:.1e} ({name})"
        return text + (f"; not compared: {', '.join(self.left_out)}" if self.left_out else "")


def find(computed: Mapping[str, Any], key: str) -> Any:
    """The recomputed array behind a recorded name such as `tokens_0_every_7th_other_size`; None if there is none.

    Numbers behind the name are indices (image, channel), `every_7th` and `first4` choose rows.
    """
    if key in computed:
        return computed[key]
    rows = SLICE.search(key)
    base = SLICE.sub("", key)
    other = "_other_size" if base.endswith("_other_size") else ""
    base, indices = base.removesuffix("_other_size"), []
    while base + other not in computed:
        match = re.fullmatch(r"(.+?)(?:_channel)?_(\d+)", base)
        if match is None:
            return None
        base, indices = match[1], [int(match[2]), *indices]
    values = computed[base + other]
    for index in indices:
        values = values[index]
    if rows is None:
        return values
    return values[:: int(rows[1])] if rows[1] else values[: int(rows[2])]


def difference(found: Any, expected: np.ndarray[Any, Any]) -> float:
    """Largest difference of max(1, |value|); infinite for another shape."""
    values = np.asarray(found.detach() if hasattr(found, "detach") else found)
    if values.shape != expected.shape:
        return float("inf")
    if expected.dtype.kind in "bi":
        return 0.0 if np.array_equal(values, expected) else float("inf")
    distance = np.abs(values.astype(np.float64) - expected) / np.maximum(1, np.abs(expected))
    return float(distance.max(initial=0.0)) if np.isfinite(distance).all() else float("inf")


def gradient_difference(found: Mapping[str, float | None], names: Any, norms: Any) -> dict[str, float]:
    """Relative difference of each parameter's gradient norm; -1 is recorded where there is no gradient."""
    floor, result = NO_GRADIENT * float(np.max(norms)), {}
    for name, norm in zip(names.tolist(), norms.tolist(), strict=True):
        own = found.get(name, float("inf"))
        if own is None or norm == -1:
            result[name] = 0.0 if own is None and norm == -1 else float("inf")
        elif max(own, norm) < floor:
            result[name] = 0.0
        else:
            result[name] = abs(own - norm) / max(norm, floor)
    return result


def compare(peer: str, path: Path, computed: Mapping[str, Any]) -> Report:
    """Compare one file of recorded outputs with what our networks give.

    Recorded rows of the tokens that `computed["padded"]` names go on behind ours, without meaning.
    """
    report = Report(peer, path.name)
    with np.load(path) as recorded:
        arrays = {key: recorded[key] for key in recorded.files}
    for key, expected in arrays.items():
        if expected.dtype.kind in "US":
            continue  # names of gradients and texts of the authors' errors
        if f"{key}_names" in arrays:
            if key not in computed:
                report.left_out.append(key)
                continue
            for name, value in gradient_difference(computed[key], arrays[f"{key}_names"], expected).items():
                report.gradients[f"{key}/{name}"] = value
            continue
        found = find(computed, key)
        if found is None:
            report.left_out.append(key)
        else:
            padded = any(key.startswith(name) for name in computed.get("padded", ()))
            report.outputs[key] = difference(found, expected[: len(found)] if padded else expected)
    return report


def check(folder: Path) -> list[Report]:
    """One report for each file of outputs of each encoder in a folder."""
    from support.peer_outputs import PEERS

    reports = []
    for peer, recompute in PEERS.items():
        place = folder / peer
        if not place.is_dir():
            continue
        paths = sorted(place.glob("outputs*.npz"))
        reports += [_attempt(peer, path, recompute) for path in paths]
        if not paths:
            reports.append(Report(peer, "outputs*.npz", error="the folder has no recorded outputs"))
    unknown = sorted(place.name for place in folder.iterdir() if place.is_dir() and place.name not in PEERS)
    return reports + [
        Report(name, "", error=f"no encoder of this name; known are {', '.join(PEERS)}") for name in unknown
    ]


def _attempt(peer: str, path: Path, recompute: Callable[[Path, str], Mapping[str, Any]]) -> Report:
    """The report of one file; an encoder that cannot be loaded must not hide what the others give."""
    try:
        computed = recompute(path.parent, path.stem.removeprefix("outputs"))
    except Exception as error:  # noqa: BLE001 (any failure is a line of the report)
        return Report(peer, path.name, error=f"{type(error).__name__}: {error}")
    return compare(peer, path, computed)


def main(arguments: list[str]) -> int:
    """Print a line per file; 0 when all are within the tolerances."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python tests/support/peers.py FOLDER (laid out like ../shared/data/peers)", file=sys.stderr)
        return 2
    reports = check(Path(arguments[0]))
    for report in reports:
        print(report.line())
    if not reports:
        print(f"{arguments[0]}: holds no folder of an encoder, such as ca_mae", file=sys.stderr)
    return 0 if reports and all(report.passed for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
