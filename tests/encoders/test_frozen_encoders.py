"""Published encoders as kinds of the config: scaling, size, channels, licence, pinned weights."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from campfire.core.columns import CELL_KEYS
from campfire.core.errors import ConfigError, DataError, WeightsError
from campfire.encoders import KINDS, Encoder, licence_of, load
from campfire.encoders.embed import embed_plate
from support.peer_weights import CHANNELS, CROP, SIDE, WIDTH, networks, write_weights

PEERS = tuple(networks())
SET = ["DNA", "AGP", "Mito"]
LENGTHS = {
    "ca_mae": WIDTH,
    "openphenom": 3 * WIDTH,
    "channelvit": WIDTH,
    "contextvit": WIDTH,
    "chada_vit": WIDTH,
    "cell_dino": WIDTH,
    "channel_adaptive_dino": 3 * WIDTH,
    "morphem": 3 * WIDTH,
    "subcell": 2 * 2 * WIDTH,  # two pairs with the nucleus, two pooling heads
}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return write_weights(tmp_path_factory.mktemp("weights"))


def tiles(count: int = 6, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Raw 16-bit tiles with a bright middle."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:112, :112] - 56
    cell = 4000 * np.exp(-(rows**2 + columns**2) / 600)
    noise = generator.uniform(200, 1200, (count, channels, 112, 112))
    return torch.from_numpy((noise + cell * generator.uniform(0.3, 2, (count, channels, 1, 1))).astype(np.uint16))


class Store:
    """A plate's tiles in memory."""

    def __init__(self, images: torch.Tensor, channels: list[str]) -> None:
        self.images, self.channels = images.numpy(), channels
        rows = [("P1", "A01", "1", number + 1) for number in range(len(images))]
        self.index = pd.DataFrame(rows, columns=CELL_KEYS).assign(row=np.arange(len(images)))

    def read(self, rows: Any) -> Any:
        return self.images[rows]

    def to_counts(self, tiles: Any) -> Any:
        return tiles.astype(np.float32)


@pytest.mark.parametrize("kind", PEERS)
def test_each_kind_embeds_a_plate_from_its_weights_file(specs: dict[str, dict[str, Any]], kind: str) -> None:
    encoder = load(specs[kind], "cpu")
    assert isinstance(encoder, Encoder) and encoder.pooling == "own"
    store = Store(tiles(channels=5), ["DNA", "AGP", "Mito", "ER", "RNA"])
    keys, found = embed_plate(encoder, store, store.index, SET, batch_size=4)
    assert found.shape == (6, encoder.dim(SET)) == (6, LENGTHS[kind])
    assert np.isfinite(found).all()
    assert found.std(axis=0).max() > 1e-3  # tiles are told apart
    # Batches do not matter, not even for the encoder that looks at the plate.
    _, single = embed_plate(encoder, store, keys, SET, batch_size=1)
    np.testing.assert_allclose(single, found, atol=2e-5)
    assert load(specs[kind], "cpu").digest == encoder.digest


@pytest.mark.parametrize("kind", PEERS)
def test_missing_weights_say_where_they_come_from(kind: str, tmp_path: Path) -> None:
    options = networks()[kind][1]
    source = KINDS[kind].source
    assert source is not None
    for weights in ("", str(tmp_path / "absent.safetensors")):
        with pytest.raises(WeightsError) as caught:
            load({"kind": kind, "name": "mine", "weights": weights, **options}, "cpu")
        assert source.where in str(caught.value)
        assert str(caught.value).startswith("encoder mine: ")


@pytest.mark.parametrize("kind", PEERS)
def test_licences_of_code_and_weights_are_known(kind: str) -> None:
    assert licence_of({"kind": kind}).startswith("code ")
    assert licence_of({"kind": "pretrained"}) == ""


def test_a_pinned_file_is_refused_when_it_is_another(
    specs: dict[str, dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    spec = {key: value for key, value in specs["morphem"].items() if key != "sha256"}
    digest = hashlib.sha256(Path(spec["weights"]).read_bytes()).hexdigest()
    load(spec, "cpu")
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert f"set the encoder's `sha256: {digest}`" in warning.getMessage()
    caplog.clear()
    load({**spec, "sha256": digest}, "cpu")
    assert not caplog.records
    with pytest.raises(WeightsError, match=f"has SHA-256 {digest}, but the config pins 0000"):
        load({**spec, "sha256": "0" * 64}, "cpu")


def test_a_hub_name_must_pin_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="weights: hf-hub:CaicedoLab/MorphEm pins no revision"):
        load({"kind": "morphem", "weights": "hf-hub:CaicedoLab/MorphEm"}, "cpu")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="CaicedoLab/MorphEm on the Hugging Face hub"):
        load({"kind": "morphem", "weights": f"hf-hub:CaicedoLab/MorphEm@{'a' * 40}"}, "cpu")


def test_weights_of_another_network_are_refused_by_name(specs: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(WeightsError, match="give a ViT under DINO's parameter names"):
        load({**specs["morphem"], "weights": specs["subcell"]["weights"]}, "cpu")
    with pytest.raises(WeightsError, match="take 5 channels together"):
        load({**specs["morphem"], "weights": specs["cell_dino"]["weights"]}, "cpu")


def test_settings_that_change_embeddings_change_the_digest(specs: dict[str, dict[str, Any]]) -> None:
    changes = {
        "openphenom": ({"readout": "average"}, {"mlp_bias": "sound"}),
        "channelvit": ({"positions": "sound"}, {"scaling": "tile"}, {"size": 48}),
        "chada_vit": ({"channel_order": list(CHANNELS)},),
        "morphem": ({"combine": "average"},),
        "subcell": ({"size": 96}, {"size": 96, "positions": "shifted"}, {"combine": "average"}),
        "channel_adaptive_dino": ({"crop": False}, {"unit": True}),
    }
    for kind, variants in changes.items():
        encoders = [load({**specs[kind], **change}, "cpu") for change in ({}, *variants)]
        assert len({encoder.digest for encoder in encoders}) == len(encoders)
        images = tiles(2)
        first = encoders[0].embed(images, SET)
        for encoder in encoders[1:]:
            other = encoder.embed(images, SET)
            assert other.shape != first.shape or (other - first).abs().max() > 1e-4, (kind, encoder)


def test_channels_reach_the_number_that_the_weights_give_them(specs: dict[str, dict[str, Any]]) -> None:
    encoder = load(specs["channelvit"], "cpu")
    images = tiles(2)
    turned = encoder.embed(images[:, [2, 0, 1]], ["Mito", "DNA", "AGP"])
    torch.testing.assert_close(turned, encoder.embed(images, SET), atol=2e-5, rtol=1e-4)
    assert (encoder.embed(images, ["AGP", "DNA", "Mito"]) - turned).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="knows no channel Actin"):
        encoder.embed(images, ["DNA", "Actin", "Mito"])


def test_fixed_channels_are_filled_with_zeros_only_when_asked(specs: dict[str, dict[str, Any]]) -> None:
    for kind in ("cell_dino", "contextvit"):
        strict = load({**specs[kind], "absent": "refuse"}, "cpu")
        with pytest.raises(ConfigError, match="absent: zero"):
            if kind == "contextvit":
                strict.begin_plate(tiles(2), SET)  # type: ignore[attr-defined]
            strict.embed(tiles(2), SET)
    five = load({**specs["cell_dino"], "absent": "refuse"}, "cpu")
    assert five.embed(tiles(2, channels=5), list(CHANNELS)).shape == (2, WIDTH)


def test_affine_changes_of_intensity_do_not_matter_to_standardising_encoders(specs: dict[str, dict[str, Any]]) -> None:
    images = tiles(2).float()
    for kind in ("openphenom", "cell_dino", "morphem", "channel_adaptive_dino", "chada_vit"):
        encoder = load(specs[kind], "cpu")
        torch.testing.assert_close(encoder.embed(3 * images + 500, SET), encoder.embed(images, SET), atol=1e-3, rtol=0)
    # SubCell keeps the channels' relative brightness.
    encoder = load(specs["subcell"], "cpu")
    brighter = images * torch.tensor([3.0, 1, 1])[:, None, None]
    assert (encoder.embed(brighter, SET) - encoder.embed(images, SET)).abs().max() > 1e-2


def test_positions_are_never_silently_wrong(specs: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="set the size that it was trained with"):
        load({**specs["openphenom"], "size": SIDE + 8}, "cpu")
    with pytest.raises(DataError, match="multiples of"):
        load({**specs["cell_dino"], "size": 50}, "cpu").embed(tiles(1, channels=5), list(CHANNELS))
    assert CROP * 8 % 7 == 0


def test_a_nucleus_without_other_channels_cannot_be_paired(specs: dict[str, dict[str, Any]]) -> None:
    encoder = load(specs["subcell"], "cpu")
    with pytest.raises(ConfigError, match="pairs DNA with other channels"):
        encoder.dim(["DNA"])
    with pytest.raises(ConfigError, match="set channel_order to 2"):
        load({**specs["subcell"], "channel_order": ["AGP", "ER", "DNA"]}, "cpu")


def test_mistakes_in_options_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"kind": "channelvit", "name": "mine", "scalling": "tile", "size": "big", "mean": [1.0]}, "cpu")
    lines = str(caught.value).splitlines()
    assert any("scalling" in line and "scaling" in line for line in lines)
    assert any(line.startswith("encoder mine: size") for line in lines)


def test_torch_is_not_needed_to_check_options() -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from campfire.encoders.registry import options_of\nimport campfire.encoders\n"
        "options_of({'kind': 'morphem', 'weights': 'x'})\nassert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
