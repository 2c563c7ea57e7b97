"""The model folder: read by huggingface_hub and by our encoder kind, with the same embeddings bit for bit."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, load_torch_model
from huggingface_hub.repocard_data import model_index_to_eval_results

from campfire import cli
from campfire.encoders import load
from campfire.model import ModelConfig, build_model

CHANNELS = ["DNA", "AGP"]


@pytest.fixture(scope="module")
def folder(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hub") / "model"
    assert (
        cli.main(["export", "model", str(results), str(out), "--licence", "cc-by-4.0", "--name", "campfire-mini"]) == 0
    )
    return out


def embeddings(weights: Path) -> torch.Tensor:
    tiles = torch.randint(0, 4000, (3, 2, 28, 28), generator=torch.Generator().manual_seed(1)).float()
    return load({"kind": "pretrained", "weights": str(weights)}, "cpu").embed(tiles, CHANNELS)


def test_the_encoder_kind_gives_the_same_embeddings(folder: Path, results: Path) -> None:
    assert torch.equal(
        embeddings(folder / "model.safetensors"), embeddings(results / "pretrain/base/model.safetensors")
    )


def test_huggingface_hub_loads_the_weights_into_the_model_of_config_json(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    model = build_model(ModelConfig(**config["model"]), seed=99)
    load_torch_model(model, folder, strict=True)
    theirs = load({"kind": "pretrained", "weights": str(folder / "model.safetensors")}, "cpu").model
    tiles = torch.rand(2, 2, 28, 28, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert torch.equal(model.eval().embed(tiles, None, "mean"), theirs.embed(tiles, None, "mean"))
    assert (config["channels"], config["normalisation"], config["pixel_size_um"]) == (CHANNELS, "tile", 0.598)


def test_the_card_states_data_results_with_intervals_limits_and_licence(folder: Path) -> None:
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "cc-by-4.0" and card.data.library_name == "campfire"
    found = {result.dataset_split: result for result in card.data.eval_results}
    assert found["test"].metric_value == 0.5 and found["test"].metric_args["interval"] == [0.4, 0.6]
    assert found["test_ood_both"].metric_args is None
    assert model_index_to_eval_results(card.data.to_dict()["model-index"])[0] == "campfire-mini"
    for words in (
        "Channels: DNA, AGP.", "Tiles: 1,200.", "Plates: 1 of source_3: P1.", "16.7 µm at 0.598 µm a pixel",
        "| Campfire | DNA + AGP | release | OOD compound + ID plate | 0.600 [0.500, 0.700] | 0.125 | 22 |",
        "1 of 4 accuracies rest on too few wells", "0123456789abcdef", "initial weights: random",
    ):  # fmt: skip
        assert words in card.text, words


def test_altered_weights_unknown_runs_and_missing_licences_are_refused(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["export", "model", str(results), str(tmp_path / "model")])
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    ask = ["export", "model", str(copy), str(tmp_path / "model"), "--licence", "cc0-1.0"]
    assert cli.main([*ask, "--run", "other"]) == 1
    with open(copy / "pretrain/base/model.safetensors", "ab") as file:
        file.write(b"\0")
    assert cli.main(ask) == 1
    told = capsys.readouterr().err
    assert "the results have the pretraining runs base" in told and "other bytes than provenance.json" in told
    assert not (tmp_path / "model").exists()
