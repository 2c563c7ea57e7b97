"""What a plan contains: plates, tables and figures by config, contact sheets, where downloads run, what is recorded."""

import os
import shutil
from pathlib import Path

import pytest

from campfire.core.yaml import read_yaml
from support.plans import PLATES, TRANSFER, Run

pytestmark = pytest.mark.workflow

EVERYTHING = PLATES + TRANSFER


def test_the_strict_run_leaves_plates_of_ood_batches_alone(run: Run, repository: Path) -> None:
    """T2 shares a batch with the OOD plate, so none of its wells is trained on: it is neither fetched nor opened."""
    run.edit("plates.tsv", "s\tB1\tT2", "s\tB2\tT2")
    run.configure(**read_yaml(repository / "config/strict.yaml"))
    workflow = run.workflow()
    jobs = {(job.rule.name, job.wildcards_dict.get("plate", "")): job for job in workflow.dag.jobs}
    assert {plate for rule, plate in jobs if rule == "images"} == {*EVERYTHING} - {"T2"}
    tiles = jobs["pretrain_run", ""].input.tiles
    assert sorted(tiles) == [f"results/strict/tiles/{plate}.npy" for plate in ("Q1", "Q2", "T1")]
    shown = {job.wildcards_dict["table"] for job in workflow.dag.jobs if job.rule.name == "table"}
    assert {"table_3_1", "leakage"} <= shown and "protocols" not in shown


def test_one_encoder_on_one_channel_set_has_the_tables_that_it_can_have(run: Run) -> None:
    """Nothing to compare with, no unseen channels, no pretraining: these tables and figures are not asked for."""
    own = {"encoders": {"mine": {"kind": "timm", "model": "vit_small_patch8_224.dino", "weights": "random"}}}
    run.configure(**own, evaluate=[{"encoder": "mine", "channel_sets": ["DNA_ER_RNA"]}], transfer={"sheet": None})
    with pytest.raises(Exception, match="no encoder of `evaluate` has the channel set DNA_AGP_Mito"):
        run.plan()
    run.configure(tables={"id_channels": "DNA_ER_RNA", "ood_channels": "none"})
    jobs = run.workflow().dag.jobs
    made = {"/".join([job.rule.name, *job.wildcards_dict.values()]) for job in jobs}
    assert {f"table/{name}" for name in ("accuracies", "table_3_1", "leakage", "profiles", "protocols")} <= made
    assert {"figure/profiles", "findings"} <= made
    assert not {f"table/{name}" for name in ("table_3_2", "differences", "transfer")} & made
    assert not {f"figure/{name}" for name in ("claims", "figure_3_3", "figure_3_4", "training_curves")} & made


def test_downloads_may_run_where_snakemake_runs(run: Run) -> None:
    """For clusters whose nodes have no internet; no other job moves there, and nothing runs again."""
    run.configure(local_downloads=True)
    assert run.plan() == {}
    here = set(run.workflow()._localrules)
    assert {"images", "check_source"} <= here and not {"nuclei_gpu", "cut_tiles", "embed"} & here
    run.configure(local_downloads=False)
    assert not {"images", "check_source"} & set(run.workflow()._localrules)


def test_a_contact_sheet_is_drawn_while_images_are_there_and_fetches_none(run: Run) -> None:
    """A run that was finished before there were sheets stays finished; a plate that is still to be made has one."""
    sheets = run.folder / "results/figures/contact_sheet"
    assert sorted(path.stem for path in sheets.iterdir()) == sorted(EVERYTHING)
    shutil.rmtree(sheets)
    for targets in (["all"], ["tiles"], ["embeddings"], ["pretrain"]):
        assert not {"images", "nuclei_gpu", "contact_sheet", "cut_tiles"} & set(run.plan(targets)), targets
    (run.folder / "results/images/Q1").mkdir(parents=True)
    made = (run.folder / "results/download/Q1.parquet").stat().st_mtime
    os.utime(run.folder / "results/images/Q1", (made, made))
    drawn = run.plan()
    assert drawn["contact_sheet"] == {"Q1"} and not {"images", "nuclei_gpu", "cut_tiles"} & set(drawn)
    shutil.rmtree(run.folder / "results/images")
    for path in ("nuclei/T1.parquet", "quality/T1.parquet", "tiles/T1.npy", "tiles/T1.parquet"):
        (run.folder / "results" / path).unlink()
    plan = run.plan()
    assert plan["images"] == plan["contact_sheet"] == plan["cut_tiles"] == {"T1"}


@pytest.mark.parametrize("start", ["images", "embeddings"])
def test_every_table_figure_and_page_is_recorded(run: Run, start: str) -> None:
    """By the checksums of provenance.json `make verify` finds what was altered."""
    run.configure(start_from=start)
    jobs = run.workflow().dag.jobs
    shown = {path for job in jobs for path in job.output if path.startswith(("results/tables/", "results/figures/"))}
    (provenance,) = [job for job in jobs if job.rule.name == "provenance"]
    assert len(shown) > 60
    assert shown | {"results/findings.html", "results/page/index.html"} <= set(provenance.input)
