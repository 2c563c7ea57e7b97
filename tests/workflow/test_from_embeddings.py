"""A bundle of a run, unpacked elsewhere, gives its tables and figures byte for byte: no images, torch or network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow

SOURCES = ["split", "sample", "attrition", "embeddings", "quality", "pretrain", "transfer"]
"""Folders of the demo's results that a bundle takes from."""

FORBIDDEN = ["torch", "torchvision", "timm", "cellpose", "boto3", "tifffile"]
BLOCKER = f"""
import socket, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {FORBIDDEN}:
            raise ImportError(f"{{name}} must not be needed here")
sys.meta_path.insert(0, Blocker())
def refuse(self, address, *rest):
    raise OSError(f"no network: {{address}}")
socket.socket.connect = socket.socket.connect_ex = refuse
"""
"""As sitecustomize it stops every Python process that imports what a reader may lack, or opens a connection."""

UPSTREAM = ["images", "nuclei", "cut_tiles", "sample", "assign_wells", "pretrain_run", "embed", "transfer_head"]
QUICK = ["figures/figure_3_3", "figures/figure_3_5", "figures/confusion"]
"""Figures from every kind of file in the bundle, with one probe to fit."""
SUFFIXES = {"figures": ["svg", "pdf", "png", "csv"], "tables": ["html", "csv", "md", "tex"]}


def snakemake(repository: Path, folder: Path, config: Path, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "snakemake", "-s", str(repository / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(repository / "config/config.yaml"), str(config), "--cores", "2", "--nocolor"]
    # Last digits depend on a processor's instructions, to which `make demo` sets a limit.
    limits = dict(re.findall(r"export (\w+) := (.+)", (repository / "Makefile").read_text(encoding="utf-8")))
    assert "NPY_DISABLE_CPU_FEATURES" in limits
    env = {**os.environ, **limits, **environment}
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=900, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def bundle(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`snakemake bundle` of the demo's results."""
    demo = repository / "results/demo"
    if not (demo / "figures/figure_3_4.pdf").is_file():
        if os.environ.get("CI"):
            pytest.fail("the demo's results are missing; `make demo` runs before the tests in CI")
        pytest.skip("run `make demo` first")
    folder = tmp_path_factory.mktemp("run")
    for name in SOURCES:
        shutil.copytree(demo / name, folder / "results/demo" / name, copy_function=os.link)
    (folder / "results/demo-screen").mkdir()
    for name in ("plates.tsv", "transfer.tsv"):
        shutil.copy2(repository / "results/demo-screen" / name, folder / "results/demo-screen")
    snakemake(
        repository, folder, repository / "config/demo.yaml", "--allowed-rules", "pack_bundle", "bundle", "--", "bundle"
    )
    return folder / "results/demo/bundle.tar"


@pytest.fixture
def unpacked(bundle: Path, tmp_path: Path) -> Path:
    """The bundle in an empty folder, and a module path that forbids torch, image libraries and connections."""
    command = [sys.executable, "-m", "campfire.runs.bundle", "unpack", str(bundle)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "block").mkdir()
    (tmp_path / "block/sitecustomize.py").write_text(BLOCKER)
    return tmp_path


def make(repository: Path, folder: Path, *targets: str) -> str:
    """Run the workflow on the unpacked bundle, without what a reader may lack."""
    config = folder / "results/demo/bundle/from_embeddings.yaml"
    return snakemake(repository, folder, config, *targets, PYTHONPATH=str(folder / "block"))


def assert_the_same(repository: Path, folder: Path, names: list[str]) -> None:
    for name in names:
        assert (folder / name).read_bytes() == (repository / name).read_bytes(), name


def test_the_blocker_blocks(unpacked: Path) -> None:
    for line in ("import torch", "import socket; socket.create_connection(('127.0.0.1', 9))"):
        done = subprocess.run(
            [sys.executable, "-c", line], env={**os.environ, "PYTHONPATH": str(unpacked / "block")}, capture_output=True
        )
        assert done.returncode != 0
        assert b"must not be needed" in done.stderr or b"no network" in done.stderr


def test_everything_is_planned_from_the_bundle_alone(repository: Path, unpacked: Path) -> None:
    output = make(repository, unpacked, "-n", "--", "all")
    for rule in UPSTREAM:
        assert f"rule {rule}:" not in output
    assert "figures/figure_3_4" in output


def test_figures_and_tables_from_the_bundle_are_the_same(repository: Path, unpacked: Path) -> None:
    wanted = [f"results/demo/{name}.{suffix}" for name in QUICK for suffix in SUFFIXES[name.split("/")[0]]]
    make(repository, unpacked, "--", *wanted)
    assert_the_same(repository, unpacked, wanted)


@pytest.mark.slow
def test_all_from_the_bundle_is_the_same(repository: Path, unpacked: Path) -> None:
    make(repository, unpacked, "--", "all")
    demo = repository / "results/demo"
    found = [path for kind in SUFFIXES for path in sorted(demo.glob(f"{kind}/**/*")) if path.is_file()]
    # Contact sheets and the sheet of cells are drawn from images and tiles, which no bundle holds.
    wanted = [
        path
        for path in found
        if path.parent.name != "contact_sheet" and path.stem not in ("cells", "typical", "unseen")
    ]
    assert len(wanted) > 60
    assert_the_same(repository, unpacked, [str(path.relative_to(repository)) for path in wanted])
