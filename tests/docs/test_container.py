"""The container files install what the lock says, and set-up refuses a path that Snakemake cannot work in."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest


def docker_lines(repository: Path) -> list[tuple[str, str]]:
    """(instruction, rest) of the Dockerfile."""
    text = (repository / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line[0], line[1]) for line in lines]


def test_packages_come_from_the_lock_with_hashes_and_from_nowhere_else(repository: Path) -> None:
    lines = docker_lines(repository)
    installs = [rest for instruction, rest in lines if instruction == "RUN" and "pip install" in rest]
    assert len(installs) == 2 and all("--require-hashes" in rest for rest in installs)
    locks = [re.findall(r"-r (\S+)", rest) for rest in installs]
    assert locks == [["requirements-uv.lock"], ["requirements.lock"]]
    copied = next(rest for instruction, rest in lines if instruction == "COPY").split()[:-1]
    assert copied == [name for lock in locks for name in lock] and all((repository / name).is_file() for name in copied)
    assert all(instruction in ("FROM", "RUN", "WORKDIR", "COPY", "CMD") for instruction, _ in lines)


def test_the_image_has_a_python_that_the_project_supports(repository: Path) -> None:
    (image,) = [rest for instruction, rest in docker_lines(repository) if instruction == "FROM"]
    found = re.fullmatch(r"python:(\d+)\.(\d+)-slim-bookworm", image)
    assert found is not None
    supported = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    low, high = (tuple(map(int, version.split("."))) for version in re.findall(r"\d+\.\d+", supported))
    assert low <= (int(found[1]), int(found[2])) < high


def test_apptainer_runs_the_same_commands(repository: Path) -> None:
    text = (repository / "apptainer.def").read_text(encoding="utf-8")
    post = text.partition("%post\n")[2].partition("\n%")[0]
    commands = [line.strip() for line in post.splitlines() if line.strip() and not line.strip().startswith("cd ")]
    lines = docker_lines(repository)
    assert commands == [rest for instruction, rest in lines if instruction == "RUN"]
    assert re.search(r"^From: (\S+)", text, re.MULTILINE)[1] == dict(lines)["FROM"]


def test_no_image_holds_results_or_an_environment(repository: Path) -> None:
    """Apptainer knows no .dockerignore: it copies what it is told to, and that is what a run reads."""
    text = (repository / "apptainer.def").read_text(encoding="utf-8")
    lines = text.partition("%files\n")[2].partition("\n\n")[0].splitlines()
    copied = dict(line.split() for line in lines)
    assert set(copied.values()) == {"/opt/campfire/"} and all((repository / name).exists() for name in copied)
    ignored = (repository / ".dockerignore").read_text(encoding="utf-8").split()
    assert {"results", ".venv*", ".snakemake", "logs"} <= set(ignored) and not set(copied) & {*ignored, ".", ".venv"}
    needed = {"Snakefile", "workflow", "src", "config", "envs", "profiles", "requirements.lock", "requirements-uv.lock"}
    assert {*needed, "CITATION.cff", "LICENSE"} <= set(copied)


@pytest.mark.parametrize("name", ["my project", "o'neil"])
def test_set_up_refuses_a_path_that_cannot_work(repository: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for file in ("Makefile", "requirements-uv.lock", "requirements-dev.lock", "pyproject.toml"):
        (folder / file).write_bytes((repository / file).read_bytes())
    done = subprocess.run(["make", "setup"], cwd=folder, capture_output=True, text=True)
    assert done.returncode != 0 and "has a space or a quote" in done.stdout + done.stderr
    assert not (folder / ".venv").exists()


def test_a_path_with_an_umlaut_works_in_any_locale(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Größe"
    (folder / "src/campfire").mkdir(parents=True)
    (folder / "src/campfire/__init__.py").write_text("found = 1\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=folder, check=True)
    (line,) = [line for line in (repository / "Makefile").read_text().splitlines() if "campfire.pth" in line]
    command = line.strip().replace("$(BIN)", ".venv/bin")
    subprocess.run(["sh", "-c", command], cwd=folder, check=True)
    words = [".venv/bin/python", "-c", "import campfire; print(campfire.found)"]
    for locale in ("C", "C.UTF-8"):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": locale}
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.stdout == "1\n", done.stderr
