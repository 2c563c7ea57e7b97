"""torch.compile changes how fast a run learns, not what."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from campfire.core.files import write_json, write_table
from campfire.training import launcher
from support.pretrain_plates import PLATES, options, split_table, three_plates


@pytest.mark.slow
def test_two_compiled_processes_learn_what_two_eager_ones_do(tmp_path: Path) -> None:
    plates = three_plates(tmp_path / "tiles")
    write_table(split_table(PLATES), tmp_path / "wells.parquet")
    weights, metrics = [], []
    for name, compiled in (("eager", False), ("compiled", True)):
        out = tmp_path / name
        run = {
            "options": options(compile=compiled, epochs=2, log_steps=1).as_dict(), "plates": [str(p) for p in plates],
            "wells": str(tmp_path / "wells.parquet"), "out": str(out), "state": str(tmp_path / f"state-{name}"),
        }  # fmt: skip
        write_json(tmp_path / f"{name}.json", run)
        assert launcher.start(launcher.this_module("--config", str(tmp_path / f"{name}.json")), 2) == 0
        weights.append(load_file(out / "model.safetensors"))
        metrics.append(pd.read_parquet(out / "metrics.parquet"))
    np.testing.assert_allclose(metrics[1]["loss"], metrics[0]["loss"], rtol=1e-4)
    for key, value in weights[0].items():
        np.testing.assert_allclose(weights[1][key], value, atol=1e-3, err_msg=key)
