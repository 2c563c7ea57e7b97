"""What is known before the first job is said then: plates, folds, folders, the hub, sizes, times of files."""

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from campfire.core.errors import ConfigError
from campfire.core.yaml import merge
from campfire.runs import ahead, expected
from campfire.runs.cost import estimate
from campfire.runs.guard import LARGE_BYTES, cutting_cores, unconfirmed_size
from campfire.runs.plan import PlannedJob
from campfire.runs.run import Run

COLUMNS = ["Metadata_Source", "Metadata_Batch", "Metadata_Plate", "Metadata_PlateType", "role"]
ROLES = {"Q1": "id", "Q2": "id", "Q3": "id", "Q4": "ood"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "HF_ENDPOINT", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    rows = ["\t".join(COLUMNS), *(f"s\tB_{role}\t{plate}\tT\t{role}" for plate, role in ROLES.items())]
    (tmp_path / "plates.tsv").write_text("\n".join([*rows, ""]))
    wells = ["Metadata_Source,Metadata_Plate,Metadata_Well,Metadata_JCP2022"]
    wells += [f"s,{plate},A{n:02d},{name}" for plate in ROLES for n, name in enumerate(("DMSO", "C1", "H1", "H2"), 1)]
    (tmp_path / "wells.csv").write_text("\n".join([*wells, ""]))
    return tmp_path


def a_run(**changes: Any) -> Run:
    config: dict[str, Any] = {
        "sheet": "plates.tsv",
        "metadata": {"well": {"address": "wells.csv", "sha256": None}},
        "split": {"held_out": 1, "wells_train": 1, "wells_val": 1, "wells_test": 1, "controls": ["DMSO", "C1"]},
        "channel_sets": {"DNA_AGP_Mito": ["DNA", "AGP", "Mito"]},
        "pretrain": {"runs": {"campfire": {"epochs": 1, "warmup_epochs": 0, "global_batch": 400}}},
        "encoders": {"campfire": {"kind": "pretrained", "run": "campfire"}},
        "evaluate": [{"encoder": "campfire", "channel_sets": ["DNA_AGP_Mito"]}],
        "tables": {"id_channels": "DNA_AGP_Mito"},
    }
    return Run.read(merge(config, changes), "workflow")


def refused(**changes: Any) -> str:
    with pytest.raises(ConfigError) as error:
        ahead.check_ahead(a_run(**changes))
    return str(error.value)


def test_a_run_whose_split_comes_out_is_planned() -> None:
    ahead.check_ahead(a_run())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": {"wells_train": 5}}, "3 plates of role id, but 5 train + 1 val + at least 1 test wells"),
        ({"split": {"controls": ["DMSO", "C2"]}}, "control C2 is on no plate of role id"),
        ({"split": {"held_out": 9}}, "9 compounds are to be held out but 2 besides the controls"),
        ({"split": {"held_out_compounds": ["H9"]}}, "held-out compound H9 is not on plates"),
        ({"metadata": {"well": {"address": "nowhere.csv", "sha256": None}}}, "nowhere.csv: no such file"),
        ({"probe": {"folds": 4, "protocols": ["strict"]}, "tables": {"protocol": "strict"}}, "protocol strict cuts 4"),
        ({"s3": {"folder": "/nowhere/at/all"}}, "config: s3.folder: /nowhere/at/all is no folder"),
    ],
)
def test_what_no_job_could_work_with_is_said_when_planning(changes: dict[str, Any], said: str) -> None:
    assert said in refused(**changes)


def test_several_mistakes_come_together() -> None:
    assert len(refused(split={"controls": ["DMSO", "C2"]}, s3={"folder": "/nowhere"}).splitlines()) == 2


def test_a_well_table_that_lacks_a_plate_is_named(folder: Path) -> None:
    text = (folder / "wells.csv").read_text()
    (folder / "wells.csv").write_text("\n".join(line for line in text.splitlines() if ",Q2," not in line) + "\n")
    assert "wells.csv: no wells of plate Q2" in refused()


def test_folds_of_cells_do_not_need_plates() -> None:
    ahead.check_ahead(a_run(probe={"folds": 4, "protocols": ["release"]}, tables={"protocol": "release"}))


def test_a_folder_is_not_needed_once_all_plates_are_fetched(folder: Path) -> None:
    (folder / "results/download").mkdir(parents=True)
    for plate in ROLES:
        (folder / f"results/download/{plate}.parquet").write_bytes(b"")
    ahead.check_ahead(a_run(s3={"folder": "/nowhere"}))


def test_a_time_in_the_future_is_said_with_its_remedy(folder: Path) -> None:
    now = time.time()
    for name, later in (("plates.tsv", 7200), ("wells.csv", 5)):
        os.utime(folder / name, (now + later, now + later))
    said = ahead.future_problem(["plates.tsv", "wells.csv", "nowhere"], now)
    assert "plates.tsv is dated 2 h 00 min ahead of this machine's clock" in said and "`touch plates.tsv`" in said
    assert ahead.future_problem(["wells.csv"], now) == "", "file systems round"
    assert "plates.tsv (and 1 more files)" in ahead.future_problem(["plates.tsv", "wells.csv"], now - 3600)


def test_a_full_folder_of_temporary_files_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ahead.temporary_problem() == ""
    monkeypatch.setattr(ahead.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    assert "10.0 MB left for temporary files; make room there, or set TMPDIR" in ahead.temporary_problem()

    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(ahead.tempfile, "gettempdir", none)
    assert "no folder for temporary files" in ahead.temporary_problem()


def jobs(rule: str, **wildcards: str) -> list[Any]:
    return [SimpleNamespace(rule=SimpleNamespace(name=rule), wildcards_dict=wildcards)]


def test_a_hub_out_of_reach_is_said_unless_the_cache_has_the_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(encoders={"dino": {"kind": "timm", "model": "vit_small_patch8_224.dino", "weights": "hub"}})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    said = ahead.hub_problem(run, jobs("embed", encoder="dino"))
    assert "encoders.dino: the weights come from the model hub, which cannot be reached" in said
    assert ahead.hub_problem(run, jobs("embed", encoder="campfire")) == ""
    assert ahead.hub_problem(run, jobs("probe", encoder="dino")) == "", "only what is planned counts"
    (folder / "hf/hub/models--timm--vit_small_patch8_224.dino").mkdir(parents=True)
    assert ahead.hub_problem(run, jobs("embed", encoder="dino")) == ""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (folder / "hf/hub/models--timm--vit_small_patch8_224.dino").rmdir()
    starting = a_run(pretrain={"runs": {"campfire": {"imagenet": "hub"}}})
    said = ahead.hub_problem(starting, jobs("pretrain_run", run="campfire"))
    assert "pretrain.runs.campfire.imagenet: the weights come from the model hub" in said


def test_only_weights_that_are_on_the_hub_are_looked_for_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = {
        "mine": {"kind": "timm", "model": "local-dir:weights/mine"},
        "random": {"kind": "timm", "model": "vit_tiny_patch16_224", "weights": "random"},
        "config": {"kind": "timm", "model": "hf-hub:owner/vit", "weights": "random"},
        "phenom": {"kind": "openphenom", "weights": "hf-hub:owner/OpenPhenom@" + 40 * "a"},
        "alone": {"kind": "masked", "encoder": "phenom"},
    }
    run = a_run(encoders=encoders)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    assert ahead.hub_problem(run, [*jobs("embed", encoder="mine"), *jobs("embed", encoder="random")]) == ""
    for name in ("config", "phenom", "alone"):
        assert f"encoders.{name}: the weights come from the model hub" in ahead.hub_problem(
            run, jobs("embed", encoder=name)
        )
    (folder / "hf/hub/models--owner--OpenPhenom").mkdir(parents=True)
    assert ahead.hub_problem(run, jobs("embed", encoder="phenom")) == ""


def planned(run: Run, plates: int, hours: float = 0.0) -> list[Any]:
    found = [
        PlannedJob(
            "images", "images", f"P{n}", False, "", download_plan="no", expected_bytes=expected.plate_bytes(run, "Q1")
        )
        for n in range(plates)
    ]
    return estimate([*found, PlannedJob("pretrain", "pretrain_run", "campfire", False, "", expected_hours=hours)])


def test_the_gallery_s_sizes_are_expected_and_a_large_run_must_be_confirmed() -> None:
    run = a_run()
    one_plate = expected.plate_bytes(run, "Q1")
    assert one_plate == round(384 * 9 * 5 * 18_197_060_600_282 / 7_188_480)
    assert one_plate < LARGE_BYTES and unconfirmed_size(run, planned(run, 1)) == ""
    said = unconfirmed_size(run, planned(run, 100))
    assert "fetches about 4.4 TB of images (100 plates)" in said and "--config large_run=true" in said
    assert unconfirmed_size(a_run(large_run=True), planned(run, 100)) == ""
    for s3 in ({"folder": "."}, {"bucket": "my-bucket"}, {"endpoint_url": "http://127.0.0.1:9"}):
        assert expected.plate_bytes(a_run(s3=s3), "Q1") == 0, "nothing is known of other sources"


def test_days_without_a_gpu_must_be_confirmed() -> None:
    large = a_run(pretrain={"runs": {"campfire": {"epochs": 50, "model": {"size": "large"}}}})
    hours = expected.pretraining_hours(large, "campfire")
    assert 24 < hours * len(os.sched_getaffinity(0)) < 1000, "3 plates of 1,000 tiles"
    said = unconfirmed_size(large, planned(large, 0, 100.0))
    assert "pretraining campfire (model large, 50 epochs of 3,000 tiles or more) takes at least" in said
    assert unconfirmed_size(large, planned(large, 0, 10.0)) == ""
    small = a_run(pretrain={"runs": {"campfire": {"model": {"size": "tiny"}}}})
    assert expected.pretraining_hours(small, "campfire") < hours / 100


@pytest.mark.parametrize(
    ("settings", "cores"),
    [
        ({"nodes": 100, "cores": 1, "overwrite_threads": {"nuclei": SimpleNamespace(value=4)}}, 128),
        ({"nodes": 10, "cores": 1, "overwrite_threads": {"nuclei": 4}}, 40),
        ({"nodes": None, "cores": 16, "overwrite_threads": {}}, 16),
    ],
    ids=["a cluster", "few jobs at once", "this machine"],
)
def test_tiles_are_forecast_on_the_cores_of_the_plates_at_work(settings: dict[str, Any], cores: int) -> None:
    assert cutting_cores(SimpleNamespace(resource_settings=SimpleNamespace(**settings)), 32) == cores
