"""What each job was and where it ran, recorded by the job itself and summarised by stage.

A record is a small JSON file below one folder: `<rule>/<wildcards>.json`. It has `ended` once the job made its outputs,
and lists earlier attempts that did not: a job that was requeued, killed or failed took their hours too.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from campfire.core.digests import file_sha256
from campfire.core.files import write_json
from campfire.runs.provenance import git_commit, hardware, versions

LARGE = 64_000_000
"""Larger outputs (tiles, weights) are recorded by size only; each tile has a checksum in its index."""


def seeds_in(value: Any, place: str = "") -> dict[str, int]:
    """Every number whose key is `seed` or ends in `_seed`, by its dotted place."""
    found: dict[str, int] = {}
    if isinstance(value, Mapping):
        for key, part in value.items():
            inner = f"{place}.{key}" if place else str(key)
            if isinstance(part, int) and (key == "seed" or str(key).endswith("_seed")):
                found[inner] = part
            found.update(seeds_in(part, inner))
    return found


def processor_seconds() -> float:
    """Processor time, user and system, of this process and of those that it started and that have ended."""
    times = os.times()
    return round(times.user + times.system + times.children_user + times.children_system, 2)


def record_path(folder: str | Path, rule: str, wildcards: Iterable[str]) -> Path:
    """Where the record of a job is."""
    return Path(folder) / rule / f"{'--'.join(map(str, wildcards)) or 'job'}.json"


def attempts_before(path: Path, last_sign: float = 0.0) -> list[dict[str, Any]]:
    """Attempts of the job of a record that ended without its outputs: began, ended, host, gpus; [] for a finished job.

    last_sign: when the latest attempt last showed a sign of life (its log's time), for one that was killed.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if "ended" in record:
        return []
    attempt = {name: record.get(name) for name in ("began", "host", "gpus")}
    ended = max(record.get("stopped", last_sign), record["began"])
    return [*record.get("attempts", []), {**attempt, "ended": ended}]


def begin(
    folder: str | Path,
    rule: str,
    wildcards: Mapping[str, str],
    outputs: Iterable[str],
    facts: Mapping[str, Any],
    last_sign: float = 0.0,
) -> Path:
    """Record that a job has begun: commit, versions, machine, time, its outputs and whatever else is given.

    Earlier attempts stay in the record (`attempts_before`).
    """
    path = record_path(folder, rule, wildcards.values())
    record = {
        "rule": rule,
        "wildcards": dict(wildcards),
        "outputs": list(outputs),
        "began": time.time(),
        "processor_seconds": processor_seconds(),
        "host": socket.gethostname(),
        "hardware": hardware(),
        "versions": versions(),
        "commit": git_commit("."),
        "attempts": attempts_before(path, last_sign),
        **facts,
    }
    write_json(path, record)
    return path


def end(path: Path) -> None:
    """Record when the job of this record ended, and its processor time: with its outputs, or, as `stopped`, without.

    Outputs are recorded with their checksums, large ones excepted.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    done = all(Path(name).exists() for name in record["outputs"])
    when = {"ended" if done else "stopped": time.time(), "processor_seconds": processor_seconds()}
    outputs = [name for name in record["outputs"] if Path(name).is_file() and Path(name).stat().st_size <= LARGE]
    write_json(path, {**record, **when, "sha256": {name: file_sha256(name) for name in outputs}})


def seconds(record: Mapping[str, Any]) -> float:
    """Time that a finished job took, with its earlier attempts."""
    return sum(float(part["ended"]) - float(part["began"]) for part in (record, *record.get("attempts", ())))


def gpu_seconds(record: Mapping[str, Any]) -> float:
    """The same times the GPUs that the job had in each attempt."""
    parts = (record, *record.get("attempts", ()))
    return sum((float(part["ended"]) - float(part["began"])) * (part.get("gpus") or 0) for part in parts)


def made(folder: str | Path) -> dict[str, str]:
    """Output -> SHA-256 as the last job that made it recorded; unreadable records are skipped."""
    found: dict[str, tuple[float, str]] = {}
    for path in sorted(Path(folder).glob("*/*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            for name, digest in record.get("sha256", {}).items():
                found[name] = max(found.get(name, (0.0, "")), (float(record["ended"]), str(digest)))
        except (OSError, ValueError, KeyError, AttributeError):
            continue
    return {name: digest for name, (_, digest) in found.items()}


def _different(values: Iterable[Any]) -> list[Any]:
    """Each different value once, in a fixed order."""
    texts = {json.dumps(value, sort_keys=True) for value in values if value not in (None, {}, "")}
    return [json.loads(text) for text in sorted(texts)]


def _first(record: Mapping[str, Any]) -> float:
    return min(float(part["began"]) for part in (record, *record.get("attempts", ())))


def _stage(records: list[dict[str, Any]]) -> dict[str, Any]:
    outputs = sorted({name for record in records for name in record["outputs"] if Path(name).is_file()})
    sizes = {name: Path(name).stat().st_size for name in outputs}
    total = hashlib.sha256()
    for name in outputs:
        total.update(f"{name} {file_sha256(name) if sizes[name] <= LARGE else sizes[name]}\n".encode())
    seeds: dict[str, int] = {}
    for record in records:
        seeds.update(record.get("seeds", {}))
    return {
        "jobs": len(records),
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(map(_first, records)))),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(record["ended"] for record in records))),
        "attempts": len(records) + sum(len(record.get("attempts", ())) for record in records),
        "hours": round(sum(map(seconds, records)) / 3600, 4),
        "gpu_hours": round(sum(map(gpu_seconds, records)) / 3600, 4),
        "machines": _different({"host": record["host"], **record["hardware"]} for record in records),
        "versions": _different(record["versions"] for record in records),
        "commits": _different(record["commit"] for record in records),
        "code": _different(record.get("code") for record in records),
        "seeds": seeds,
        "outputs": {"files": len(outputs), "bytes": sum(sizes.values()), "sha256": total.hexdigest()},
    }


def by_stage(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Rule -> summary of its jobs, from records of finished jobs whose lasting outputs all exist.

    Keys: jobs, attempts, began, ended, hours and gpu_hours (summed, earlier attempts included), machines, versions,
    commits, code (each different one once), seeds, and outputs: files, bytes and one SHA-256 over the names and
    checksums of all of them.
    """
    stages: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(Path(folder).glob("*/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "ended" in record and all(Path(name).is_file() for name in record["outputs"]):
            stages.setdefault(record["rule"], []).append(record)
    return {rule: _stage(records) for rule, records in stages.items()}
