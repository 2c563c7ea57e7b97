"""The number of threads that train on a CPU is the option's, whatever the job has."""

from pathlib import Path

import pytest

from campfire.training import launch
from support.pretrain_plates import options, same_run, split_table, three_plates


def test_the_option_decides_the_threads_and_so_the_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plates = three_plates(tmp_path)
    wells = tmp_path / "wells.parquet"
    split_table([path.stem for path in plates]).to_parquet(wells)
    for variable in ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    for job, own in (("2", 0), ("1", 2)):
        monkeypatch.setenv("OMP_NUM_THREADS", job)  # what Snakemake gives the job
        folder = tmp_path / job
        assert launch(options(threads=own, epochs=1), plates, wells, folder, folder / "state") == 0
    same_run(tmp_path / "2", tmp_path / "1")
