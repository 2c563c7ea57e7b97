"""All measurements that need a GPU, by one command: results as JSON and as a table in Markdown.

    python bench/gpu.py --out FOLDER [--minutes 9] [--rehearse] [--only step,embed]

Parts run in order of importance, each in its own process with its own time limit; a part that exceeds the remaining
minutes is not started. After every part FOLDER/gpu.json and FOLDER/gpu.md are written, so that a run that is cut
short keeps what it has. Nothing is fetched: tiles are random and so are weights.

`--rehearse` runs the same parts on a CPU in their smallest numbers: what would fail for a silly reason fails here.
Needed beside torch: numpy, pandas, pyarrow, pydantic, pyyaml, safetensors, timm; pytest for the first part.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NEEDED = ("numpy", "pandas", "pyarrow", "pydantic", "yaml", "safetensors", "timm", "torch")
PAPER_TILES_PER_S = 565.0
"""Tiles a second and A100 that the paper's 1,920 GPU hours amount to (docs/scale.md)."""
PAPER_TILES = 78_100_000 * 50
"""Tile passes of the paper's run: 50 epochs over the training tiles (docs/scale.md)."""


@dataclass(frozen=True)
class Part:
    """A question, the command that answers it, and how long it may take (s)."""

    name: str
    question: str
    command: Sequence[str]
    small: Sequence[str]
    limit: int
    """On a GPU."""


PARTS = (
    Part(
        "tests",
        "Do the tests that need a GPU pass, bit-exact resume among them?",
        ["-m", "pytest", "-q", "-rA", "--tb=short", "--durations=8", "-m", "gpu", "tests/gpu"],
        ["-m", "pytest", "-q", "-m", "gpu", "tests/gpu"],
        150,
    ),
    Part(
        "step",
        "ViT-L/14 at batch 400: tiles/s, MFU, share of the bound, against a plain loop in the same run",
        ["bench/pretrain.py", "--steps", "12", "--out", "{out}"],
        ["bench/pretrain.py", "--quick", "--batch", "4", "--channels", "1", "2", "--out", "{out}"],
        240,
    ),
    Part(
        "profile",
        "Where the time of a step goes: phases, kernels, and what changes would bring",
        ["bench/step_profile.py", "--seconds", "90", "--out", "{out}"],
        ["bench/step_profile.py", "--quick", "--out", "{out}"],
        180,
    ),
    Part(
        "graphs",
        "Steps replayed as CUDA graphs and other ways to a faster step: tiles/s, same results, same bytes",
        ["bench/step_graphs.py", "--seconds", "170", "--json", "{out}"],
        ["bench/step_graphs.py", "--quick", "--json", "{out}"],
        180,
    ),
    Part(
        "variants",
        "Arithmetic, compilation, the largest batch, ViT-H",
        ["bench/step_variants.py", "--no-compile", "--json", "{out}"],
        ["bench/step_variants.py", "--quick", "--batch", "4", "--json", "{out}"],
        120,
    ),
    Part(
        "embed",
        "Embedding with every encoder: tiles/s against the encoder alone",
        [
            "bench/embed.py",
            "--encoders",
            "campfire_large,dino_vits8,dinov2_vitl14",
            "--tiles",
            "16384",
            "--json",
            "{out}",
        ],
        ["bench/embed.py", "--quick", "--encoders", "campfire_demo", "--tiles", "128", "--json", "{out}"],
        120,
    ),
    Part(
        "decoders",
        "Shared against per-channel decoders as channels grow",
        ["bench/decoders.py", "--channels", "1,3,5,10", "--json", "{out}"],
        ["bench/decoders.py", "--quick", "--channels", "2", "--json", "{out}"],
        120,
    ),
    Part(
        "unet",
        "Images of 1,080 x 1,080 through a U-Net of Cellpose's size",
        ["bench/unet.py", "--json", "{out}"],
        ["bench/unet.py", "--quick", "--json", "{out}"],
        60,
    ),
)


def machine() -> dict[str, Any]:
    """Graphics card, driver, processor, versions and commit."""
    import torch

    from campfire.runs.provenance import git_commit, hardware, versions

    facts: dict[str, Any] = {"commit": git_commit(ROOT), **hardware(), "versions": versions()}
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
        facts["cuda"] = torch.version.cuda
    return facts


def run(part: Part, out: Path, seconds: float, rehearse: bool) -> dict[str, Any]:
    """The outcome of a part: exit code, seconds, the end of what it printed, its figures."""
    file = out / f"{part.name}.json"
    file.unlink(missing_ok=True)
    words = [word.replace("{out}", str(file)) for word in (part.small if rehearse else part.command)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{HERE}:{os.environ.get('PYTHONPATH', '')}"}
    if rehearse:
        environment |= {"CUDA_VISIBLE_DEVICES": "", "CAMPFIRE_REHEARSE": "1"}
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment, text=True, timeout=seconds,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        code, text = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        code, text = 124, output.decode(errors="replace") if isinstance(output, bytes) else output
    outcome = {"question": part.question, "code": code, "seconds": round(time.monotonic() - began, 1)}
    outcome["printed"] = text.strip().splitlines()[-120:]
    if file.is_file():
        outcome["figures"] = json.loads(file.read_text(encoding="utf-8"))
    return outcome


def paper_hours(parts: Mapping[str, Any]) -> str:
    """GPU hours of the paper's run at the measured rate of three channels; "" without that figure."""
    rows = parts.get("step", {}).get("figures", {}).get("results", [])
    rates = [row["tiles_per_s"] for row in rows if row["channels"] == 3]
    if not rates:
        return ""
    hours = PAPER_TILES / rates[0] / 3600
    return (
        f"At {rates[0]:,.0f} tiles/s with three channels, {PAPER_TILES:,} tile passes take {hours:,.0f} GPU hours on "
        f"one such GPU; the paper's 1,920 hours on A100s amount to {PAPER_TILES_PER_S:.0f} tiles/s each."
    )


def to_markdown(report: Mapping[str, Any]) -> Iterator[str]:
    """The report as a page: one section for each part, with what it printed."""
    facts = report["machine"]
    yield f"# {'Rehearsal without a GPU' if report['rehearsal'] else facts.get('gpu', 'no GPU')}"
    torch_version = facts["versions"].get("torch")
    yield f"\nCommit {facts['commit']}, {facts['processor']}, {facts['cores']} cores, torch {torch_version}.\n"
    yield "| part | outcome | seconds |\n|---|---|---:|"
    for name, part in report["parts"].items():
        outcome = {0: "done", 124: "cut at its limit"}.get(
            part["code"], part.get("skipped") or f"failed ({part['code']})"
        )
        yield f"| {name} | {outcome} | {part['seconds']} |"
    if hours := paper_hours(report["parts"]):
        yield f"\n{hours}"
    for name, part in report["parts"].items():
        printed = "\n".join(part["printed"])
        yield f"\n## {name}: {part['question']}\n\n```\n{printed}\n```"


def write(out: Path, report: Mapping[str, Any]) -> None:
    """gpu.json and gpu.md, each replaced whole."""
    for name, text in (
        ("gpu.json", json.dumps(report, indent=2)),
        ("gpu.md", "\n".join(to_markdown(report))),
    ):
        partial = out / f".{name}.partial"
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(out / name)


def main() -> int:
    """Exit code: 0 when every part that was run is done, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--minutes", type=float, default=9.0, help="time for everything (default: %(default)s)")
    parser.add_argument("--rehearse", action="store_true", help="the smallest numbers, on a CPU")
    parser.add_argument("--only", default="", help=f"some of {','.join(part.name for part in PARTS)}")
    given = parser.parse_args()
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(f"this Python lacks {', '.join(missing)}; bring them along on PYTHONPATH", file=sys.stderr)
        return 1
    sys.path.insert(0, str(ROOT / "src"))
    import torch

    if not given.rehearse and not torch.cuda.is_available():
        print("there is no GPU here; --rehearse tries the same parts on a CPU", file=sys.stderr)
        return 1
    given.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * given.minutes
    chosen = [part for part in PARTS if not given.only or part.name in given.only.split(",")]
    report: dict[str, Any] = {"machine": machine(), "rehearsal": given.rehearse, "parts": {}}
    for part in chosen:
        left = end - time.monotonic()
        if left < 20:
            report["parts"][part.name] = {
                "question": part.question, "code": -1, "seconds": 0, "printed": [], "skipped": "no time left",
            }  # fmt: skip
        else:
            print(f"== {part.name}: {part.question}", flush=True)
            report["parts"][part.name] = run(part, given.out.resolve(), min(part.limit, left), given.rehearse)
            print("\n".join(report["parts"][part.name]["printed"][-12:]), flush=True)
        write(given.out, report)
    print(f"results: {given.out / 'gpu.md'}, {given.out / 'gpu.json'}")
    return int(any(part["code"] for part in report["parts"].values()))


if __name__ == "__main__":
    sys.exit(main())
