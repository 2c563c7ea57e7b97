"""A finished run as an RO-Crate (1.1) that can be deposited: results, inputs by checksum, software, people, licence.

Beside ro-crate-metadata.json the folder has .zenodo.json, which Zenodo reads. `check` compares a crate with its
metadata.
"""

import json
import mimetypes
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from campfire.core.digests import file_sha256
from campfire.core.errors import DataError
from campfire.core.files import write_json
from campfire.export.finished import Finished, new_folder
from campfire.export.people import Citation

METADATA = "ro-crate-metadata.json"
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
PROFILE = "https://w3id.org/ro/crate/1.1"
TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
"""Terms beyond the context of RO-Crate 1.1."""
INPUTS = ("metadata/*.csv.gz", "download/*.parquet")
"""Tables that a run starts from: JUMP's metadata, and the downloaded objects of each plate with their checksums."""
FORMATS = {
    ".parquet": "application/vnd.apache.parquet",
    ".md": "text/markdown",
    ".safetensors": "application/octet-stream",
}


def export(run: Finished, out: str | Path, licence: str, citation: Citation, published: str) -> list[Path]:
    """Copy a run's recorded results and its inputs' records to the new folder `out` and describe them there.

    licence: SPDX name of the licence of the results. published: the date of publication, YYYY-MM-DD. Returns the
    paths of the two metadata files. DataError for a result that differs from the checksum in provenance.json.
    """
    results = _recorded(run)
    inputs = [path for pattern in INPUTS for path in sorted(run.root.glob(pattern))]
    extra = [path for path in (run.root / "provenance.json", run.root / "bundle.tar") if path.is_file()]
    with new_folder(out) as folder:
        for path in dict.fromkeys([*results, *inputs, *extra]):
            target = folder / path.relative_to(run.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        graph = _graph(run, folder, results, inputs, extra, licence, citation, published)
        write_json(folder / METADATA, {"@context": [CONTEXT, TERMS], "@graph": graph})
        write_json(folder / ".zenodo.json", zenodo(run, licence, citation))
    return [Path(out) / METADATA, Path(out) / ".zenodo.json"]


def zenodo(run: Finished, licence: str, citation: Citation) -> dict[str, Any]:
    """Metadata of a deposit on Zenodo."""
    return {
        "title": _title(citation),
        "upload_type": "dataset",
        "description": _description(run),
        "creators": citation.creators(),
        "license": licence.lower(),
        "keywords": [
            "cell painting",
            "masked autoencoder",
            "fluorescence microscopy",
            "out-of-distribution evaluation",
        ],
    }


def check(folder: str | Path) -> int:
    """Number of files of a crate, each compared with its size and SHA-256; DataError for what is missing or wrong.

    Also held: the parts of RO-Crate 1.1 that a crate must have, and that every entity that is referred to is there.
    """
    path = Path(folder) / METADATA
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))["@graph"]
        entities = {entity["@id"]: entity for entity in graph}
        descriptor, root = entities[METADATA], entities["./"]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; {folder} is not an RO-Crate") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not the metadata of an RO-Crate ({error!r}); fetch the crate again") from error
    absent = [key for key in ("name", "description", "datePublished", "license", "hasPart") if not root.get(key)]
    if len(entities) != len(graph) or descriptor.get("about") != {"@id": "./"} or absent:
        what = f"lacks {', '.join(absent)}" if absent else "repeats an entity or does not describe its folder"
        raise DataError(f"{path}: {what}; export the crate again")
    if dangling := sorted(set(_references(graph)) - set(entities) - {PROFILE}):
        raise DataError(f"{path}: refers to {dangling[0]}, which it does not describe; export the crate again")
    files = [entities[part["@id"]] for part in root["hasPart"]]
    for entity in files:
        file = Path(folder) / unquote(entity["@id"])
        if not file.resolve().is_relative_to(Path(folder).resolve()) or not file.is_file():
            raise DataError(f"{file}: is not in the crate; fetch it again")
        if file.stat().st_size != int(entity["contentSize"]) or file_sha256(file) != entity["sha256"]:
            raise DataError(f"{file}: differs from its checksum; fetch it again")
    return len(files)


def _references(value: Any) -> list[str]:
    """Every @id that entities refer to."""
    if isinstance(value, list):
        return [name for item in value for name in _references(item)]
    if not isinstance(value, dict):
        return []
    if set(value) == {"@id"}:
        return [value["@id"]]
    return [name for item in value.values() for name in _references(item)]


def _recorded(run: Finished) -> list[Path]:
    """The files of provenance.json, which names them from the folder in which the workflow ran."""
    found = []
    for name, digest in sorted(run.record["files"].items()):
        parts = Path(name).parts
        below = [run.root.joinpath(*parts[start:]) for start in range(1, len(parts))]
        path = next((path for path in below if path.is_file()), None)
        if path is None:
            raise DataError(f"{name}: is gone; run the workflow's target `all` again")
        if file_sha256(path) != digest:
            raise DataError(f"{path}: has other bytes than provenance.json recorded; run `all` again")
        found.append(path)
    return found


def _title(citation: Citation) -> str:
    return f"Results of {citation.title}"


def _description(run: Finished) -> str:
    encoders = ", ".join(dict.fromkeys(encoder for encoder, _ in run.pairs)) or "none"
    return (
        f"Tables, figures, split and weights of a run of campfire (commit {run.record['commit']}, config "
        f"{run.record['config'].get('digest', '')}, split protocol {run.config['split']['protocol']}). "
        f"Encoders: {encoders}."
    )


def _graph(
    run: Finished,
    folder: Path,
    results: list[Path],
    inputs: list[Path],
    extra: list[Path],
    licence: str,
    citation: Citation,
    published: str,
) -> list[dict[str, Any]]:
    files = {path: _file(folder, path.relative_to(run.root)) for path in dict.fromkeys([*results, *inputs, *extra])}
    people, software = citation.entities(), _software(run)
    licence_url = f"https://spdx.org/licenses/{licence}"
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": _title(citation),
        "description": _description(run),
        "datePublished": published,
        "license": {"@id": licence_url},
        "author": _one_or_list(person["@id"] for person in people),
        "hasPart": [{"@id": file["@id"]} for file in files.values()],
        "mentions": {"@id": "#run"},
    }
    action: dict[str, Any] = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "Run of the workflow",
        "instrument": {"@id": software[0]["@id"]},
        "agent": _one_or_list(person["@id"] for person in people),
        "object": _one_or_list(files[path]["@id"] for path in inputs),
        "result": _one_or_list(files[path]["@id"] for path in results),
    }
    stages = [stage for stage in run.record.get("stages", {}).values() if stage.get("began") and stage.get("ended")]
    if stages:
        action["startTime"] = min(stage["began"] for stage in stages)
        action["endTime"] = max(stage["ended"] for stage in stages)
    descriptor = {
        "@id": METADATA, "@type": "CreativeWork", "conformsTo": {"@id": PROFILE}, "about": {"@id": "./"},
    }  # fmt: skip
    licences = [{"@id": licence_url, "@type": "CreativeWork", "name": licence, "url": licence_url}]
    return [descriptor, root, action, *licences, *people, *software, *files.values()]


def _one_or_list(names: Iterable[str]) -> dict[str, str] | list[dict[str, str]]:
    """References to entities; one alone stands without a list, as RO-Crate recommends."""
    found = [{"@id": name} for name in names]
    return found[0] if len(found) == 1 else found


def _file(folder: Path, inside: Path) -> dict[str, Any]:
    path = folder / inside
    kind = FORMATS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return {
        "@id": quote(inside.as_posix()),
        "@type": "File",
        "name": inside.as_posix(),
        "contentSize": str(path.stat().st_size),
        "encodingFormat": kind,
        "sha256": file_sha256(path),
    }


def _software(run: Finished) -> list[dict[str, Any]]:
    """The workflow, then the packages that it ran with."""
    from campfire import __version__

    packages = [
        {"@id": f"#{name}-{version}", "@type": "SoftwareApplication", "name": name, "softwareVersion": version}
        for name, version in sorted(run.record["versions"].items())
    ]
    own = {
        "@id": "#campfire",
        "@type": ["SoftwareApplication", "SoftwareSourceCode"],
        "name": "campfire",
        "softwareVersion": __version__,
        "version": run.record["commit"],
        "softwareRequirements": [{"@id": package["@id"]} for package in packages],
    }
    return [own, *packages]
