"""The number of threads that train on a CPU is the option's, whatever the job has."""

from pathlib import Path

import torch

from campfire.training import train
from support.pretrain_plates import options, same_run, split_table, three_plates


def test_the_option_decides_the_threads_and_so_the_sums(tmp_path: Path) -> None:
    plates = three_plates(tmp_path)
    wells = split_table([path.stem for path in plates])
    wells.to_parquet(tmp_path / "wells.parquet")
    before = torch.get_num_threads()
    try:
        for given in (1, 3):
            torch.set_num_threads(given)  # what a job has
            folder = tmp_path / str(given)
            train(options(threads=2, epochs=1), plates, tmp_path / "wells.parquet", folder, folder / "state")
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    same_run(tmp_path / "1", tmp_path / "3")
