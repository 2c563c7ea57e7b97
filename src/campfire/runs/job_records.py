"""What each job was and where it ran, recorded by the job itself and summarised by stage.

A record is a small JSON file below one folder: `<rule>/<wildcards>.json`. It has `ended` once the job ran to its end.
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
"""Larger outputs (tiles, weights) count only with their size; each tile has a checksum in its index."""


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


def begin(
    folder: str | Path, rule: str, wildcards: Mapping[str, str], outputs: Iterable[str], facts: Mapping[str, Any]
) -> Path:
    """Record that a job has begun: commit, versions, machine, time, its outputs and whatever else is given."""
    path = Path(folder) / rule / ("--".join(str(value) for value in wildcards.values()) or "job")
    path = path.with_name(f"{path.name}.json")
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
        **facts,
    }
    write_json(path, record)
    return path


def end(path: Path) -> None:
    """Record that the job of this record ran to its end, and its processor time from start to end."""
    record = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**record, "ended": time.time(), "processor_seconds": processor_seconds()})


def _different(values: Iterable[Any]) -> list[Any]:
    """Each different value once, in a fixed order."""
    texts = {json.dumps(value, sort_keys=True) for value in values if value not in (None, {}, "")}
    return [json.loads(text) for text in sorted(texts)]


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
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(record["began"] for record in records))),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(record["ended"] for record in records))),
        "hours": round(sum(record["ended"] - record["began"] for record in records) / 3600, 4),
        "machines": _different({"host": record["host"], **record["hardware"]} for record in records),
        "versions": _different(record["versions"] for record in records),
        "commits": _different(record["commit"] for record in records),
        "code": _different(record.get("code") for record in records),
        "seeds": seeds,
        "outputs": {"files": len(outputs), "bytes": sum(sizes.values()), "sha256": total.hexdigest()},
    }


def by_stage(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Rule -> what its jobs were, from the records whose job ended and whose lasting outputs are all there.

    Keys: jobs, began, ended, hours (summed), machines, versions, commits, code (each different one once), seeds, and
    outputs: files, bytes and one SHA-256 over the names and checksums of all of them.
    """
    stages: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(Path(folder).glob("*/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "ended" in record and all(Path(name).is_file() for name in record["outputs"]):
            stages.setdefault(record["rule"], []).append(record)
    return {rule: _stage(records) for rule, records in stages.items()}
