"""Two runs from scratch on one machine give the same bytes."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


@pytest.fixture(scope="module")
def screen(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("screen")
    command = [sys.executable, "-m", "campfire.simulate", str(repository / "config/smoke-screen.yaml"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


def from_scratch(repository: Path, screen: Path, folder: Path) -> Path:
    """The smoke run in a folder that has nothing but the config and the screen; its results."""
    (folder / "results").mkdir(parents=True)
    (folder / "results/smoke-screen").symlink_to(screen)
    (folder / "config").symlink_to(repository / "config")
    command = [sys.executable, "-m", "snakemake", "-s", str(repository / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(repository / "config/config.yaml"), str(repository / "config/smoke.yaml")]
    done = subprocess.run([*command, "--cores", "2", "--", "all"], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return folder / "results/smoke"


def test_two_runs_are_the_same(repository: Path, screen: Path, tmp_path: Path) -> None:
    first = from_scratch(repository, screen, tmp_path / "first")
    second = from_scratch(repository, screen, tmp_path / "second")
    names = [
        path.relative_to(first)
        for pattern in (
            "tables/*",
            "figures/**/*.csv",
            "figures/**/*.svg",
            "tiles/*.npy",
            "pretrain/*/model.safetensors",
        )
        for path in sorted(first.glob(pattern))
        if path.is_file()
    ]
    assert len(names) > 50
    differing = [str(name) for name in names if (first / name).read_bytes() != (second / name).read_bytes()]
    assert differing == []
