"""Plates of several sources, and encoders of masked tiles: what a run needs of them, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campfire.core.errors import ConfigError, DataError
from campfire.core.yaml import merge, read_yaml
from campfire.encoders.embed import check_widths
from campfire.runs.checks import check_run
from campfire.runs.embedding import lacking_channels, masking_nuclei
from campfire.runs.run import Run
from campfire.runs.source_check import source_check_options
from support.plans import CHANGES, SHEET

Make = Callable[..., Run]
HEAD, *ROWS = SHEET.splitlines()


@pytest.fixture
def make(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A run in which plate Q3 has a pixel size and channels of its own."""
    base = read_yaml(repository / "config/config.yaml")
    base["known_bad"] = str(repository / "config/known_bad.tsv")
    monkeypatch.chdir(tmp_path)

    def read(size: str = "0.3", channels: str = "DNA+ER", **changes: Any) -> Run:
        rows = [f"{row}\t{size}\t{channels}" if "Q3" in row else f"{row}\t\t" for row in ROWS]
        (tmp_path / "plates.tsv").write_text("\n".join([f"{HEAD}\tpixel_size_um\tchannels", *rows]) + "\n")
        tiles = {"tiles": {"pixel_size_um": 0.597976}, "transfer": {"sheet": None, "encoders": []}}
        config = merge(merge(merge(base, CHANGES), tiles), changes)
        config["encoders"] = {"campfire": {"kind": "pretrained", "run": "campfire"}, **changes.get("encoders", {})}
        names = ["campfire", *changes.get("encoders", {})]
        config["evaluate"] = [{"encoder": name, "channel_sets": ["DNA_AGP_Mito"]} for name in names]
        config["tables"]["encoders"] = names
        config["tables"]["twins"] = {}
        return Run.read(config, repository / "workflow")

    return read


def test_each_plate_has_its_own_scale_and_channels(make: Make) -> None:
    run = make()
    check_run(run)
    assert run.plate("Q3").channels == ["DNA", "ER"]
    sizes = [run.plate(name).nuclei_options({}, run.config)["tile_size"] for name in ("Q3", "Q1")]
    assert sizes == [224, 112]
    assert lacking_channels(run, "DNA_AGP_Mito") == {"Q3": ["AGP", "Mito"]}
    groups = source_check_options(run)["groups"]
    assert [group["pixel_size_um"] for group in groups] == [0.597976, 0.3]
    assert [place["plate"] for place in groups[1]["plates"]] == ["Q3"] and groups[1]["channels"] == ["DNA", "ER"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tiles": {"pixel_size_um": None}}, r"2 pixel sizes, 0.3 \(such as Q3\), .* set tiles.pixel_size_um"),
        ({"channels": "ER+RNA"}, "plate Q3 has channels ER, RNA, but no DNA"),
        ({"channels": "DNA+Actin"}, "plate Q3 has channel Actin, which config `channels` does not name"),
    ],
)
def test_sheets_that_cannot_be_used_are_refused(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_run(make(**changes))


def test_a_channel_set_of_which_a_plate_has_nothing_is_refused(make: Make) -> None:
    run = make(channel_sets={"DNA_AGP_Mito": ["AGP", "Mito"]})
    with pytest.raises(ConfigError, match="plate Q3 has no channel of the channel set DNA_AGP_Mito"):
        check_run(run)


class Concatenated:
    """An encoder whose embeddings grow with the channels."""

    name = "grows"

    def dim(self, channels: Any) -> int:
        return 10 * len(channels)


def test_embeddings_of_all_plates_have_one_length() -> None:
    encoder: Any = Concatenated()
    check_widths(encoder, {"P1": ["DNA", "ER"], "P2": ["DNA", "AGP"]})
    with pytest.raises(DataError, match=r"plate P2 \(DNA\) gets 10 numbers, P1 \(DNA, ER\) 20"):
        check_widths(encoder, {"P1": ["DNA", "ER"], "P2": ["DNA"]})


def test_an_encoder_of_masked_tiles_needs_what_the_other_needs(make: Make) -> None:
    run = make(encoders={"alone": {"kind": "masked", "encoder": "campfire"}})
    check_run(run)
    alone = run.encoder("alone")
    assert alone.weights == run.encoder("campfire").weights
    assert alone.spec["of"] == run.encoder("campfire").spec
    assert run.pretraining_runs == ["campfire"]
    assert masking_nuclei(run, "alone") == [run.files.nuclei(plate) for plate in run.evaluation_plates]
    assert masking_nuclei(run, "campfire") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [("camfire", "unknown encoder `camfire`; did you mean `campfire`"), ("alone", "is of kind masked")],
)
def test_masked_tiles_of_no_encoder_are_refused(make: Make, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(encoders={"alone": {"kind": "masked", "encoder": name}})
