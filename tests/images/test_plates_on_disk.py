"""`plates_on_disk` bounds the plates whose raw images exist, from their download until their tiles are cut."""

import shutil
from pathlib import Path

import pytest
import yaml

from campfire.screen.metadata import read_sheet
from support.warm_snakemake import snakemake

pytestmark = pytest.mark.workflow

FETCH = """
from pathlib import Path
import time
out = snakemake.output
Path(out.images).mkdir()
Path(out.images, "one.tiff").write_bytes(bytes(1000))
Path(out.record).touch(), Path(out.plan).touch()
with open("seen.txt", "a") as seen:
    seen.write(f"{sum(1 for _ in Path(out.images).parent.iterdir())}\\n")
time.sleep(0.05)
"""
LATER = """
from pathlib import Path
import time
assert Path(snakemake.input.images, "one.tiff").exists()
time.sleep(0.3)
[Path(path).touch() for path in snakemake.output]
"""


def test_raw_images_of_few_plates_at_a_time(repository: Path, tmp_path: Path) -> None:
    """The real rules with scripts that download at once and cut slowly, on more cores than plates are allowed."""
    for folder in ("workflow", "envs", "config"):
        shutil.copytree(repository / folder, tmp_path / folder)
    for name, text in {"images": FETCH, "nuclei": LATER, "tiles": LATER, "contact_sheet": LATER}.items():
        (tmp_path / f"workflow/scripts/{name}.py").write_text(text)
    config = yaml.safe_load((repository / "config/config.yaml").read_text())
    for key in ("sheet", "known_bad"):
        config[key] = str(repository / config[key])
    config["nuclei"]["method"] = "classical"
    config["large_run"] = True
    config["s3"]["endpoint_url"] = "http://127.0.0.1:9"  # of the Gallery's own plates the disk would be too small
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    plates = read_sheet(config["sheet"])["Metadata_Plate"].tolist()[:4]
    (tmp_path / "results/split/plates").mkdir(parents=True)
    for plate in plates:
        (tmp_path / f"results/split/plates/{plate}.tsv").touch()
    command = ["-s", "workflow/Snakefile", "--configfile", "config.yaml"]
    command += ["--cores", "4", "--resources", "plates_on_disk=2"]
    command += ["--scheduler", "greedy", "--set-threads", "images=1", "--"]
    command += [f"results/tiles/{plate}.parquet" for plate in plates]
    command += [f"results/figures/contact_sheet/{plate}.jpg" for plate in plates]
    done = snakemake(command, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    on_disk = list(map(int, (tmp_path / "seen.txt").read_text().split()))
    assert len(on_disk) == 4 and max(on_disk) == 2
    assert not list(tmp_path.glob("results/images/*"))
