"""What a run needs, read from its config and sheets alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campfire.core.errors import ConfigError
from campfire.core.yaml import merge, read_yaml
from campfire.runs.checks import check_run
from campfire.runs.fingerprint import SCRIPTS
from campfire.runs.plates import bad_objects
from campfire.runs.run import Run
from campfire.runs.settings import execution_options, result_options
from support.plans import CHANGES, SHEET, TRANSFER, transfer_sheet

Make = Callable[..., Run]


@pytest.fixture
def make(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A run of five plates and a transfer screen of two, with changes laid over its config."""
    (tmp_path / "plates.tsv").write_text(SHEET)
    (tmp_path / "transfer.tsv").write_text(transfer_sheet(TRANSFER))
    base = read_yaml(repository / "config/config.yaml")
    base["known_bad"] = str(repository / "config/known_bad.tsv")
    monkeypatch.chdir(tmp_path)

    def read(**changes: Any) -> Run:
        config = merge(merge(base, CHANGES), changes)
        return Run.read(config, repository / "workflow")

    return read


def test_plates_have_the_channels_that_they_are_used_with(make: Make) -> None:
    run = make(transfer={"channel_set": "AGP"})
    assert run.plates == ["Q1", "Q2", "Q3", "T1", "T2"] and run.transfer_plates == ["M1", "M2"]
    assert run.evaluation_plates == ["Q1", "Q2", "Q3"] and run.evaluation_type == "TARGET2"
    assert run.plate("Q3").channels == ["DNA", "AGP", "Mito", "ER", "RNA"]
    assert run.plate("T1").channels == ["DNA", "AGP", "Mito"]
    assert run.plate("M1").channels == ["DNA", "AGP"], "nucleus segmentation requires the nuclear stain"
    assert run.plate("T1").place == {"source": "s", "batch": "B1", "plate": "T1"}
    assert run.plate("M2").wells == ["A01", "A02", "A03", "A04", "A05"] and run.plate("T1").wells == []


def test_a_plate_depends_on_its_own_wells(make: Make) -> None:
    run = make()
    assert run.plate_wells("T1") == "results/split/plates/T1.tsv"
    assert run.plate_wells("M1") == []


def test_pretraining_never_sees_plates_out_of_distribution(make: Make) -> None:
    run = make()
    assert run.training_tiles("campfire") == [f"results/tiles/{plate}.npy" for plate in ("Q1", "Q2", "T1", "T2")]
    run = make(pretrain={"runs": {"campfire": {"plate_types": ["COMPOUND"]}}})
    assert run.plates_to_train_on(run.pretraining("campfire")) == ["T1", "T2"]
    run = make(pretrain={"runs": {"campfire": {"plate_types": ["ORF"]}}})
    with pytest.raises(ConfigError, match="no plate that may be trained on is of type ORF"):
        run.training_tiles("campfire")


def test_encoders_read_the_weights_of_their_run(make: Make) -> None:
    run = make()
    assert run.pairs[0] == ("campfire", "DNA") and len(run.pairs) == 4
    assert run.encoders == ["campfire", "untrained"] and run.pretraining_runs == ["campfire"]
    assert run.encoder("campfire").weights == ["results/pretrain/campfire/model.safetensors"]
    assert run.encoder("campfire").spec["weights"] == "results/pretrain/campfire/model.safetensors"
    twin = run.encoder("untrained")
    assert twin.weights == [] and twin.run is None
    assert twin.spec["model"] == run.pretraining("campfire")["model"] and twin.spec["imagenet"] == ""


def test_the_code_of_a_user_supplied_encoder_counts(make: Make, tmp_path: Path) -> None:
    own = {"kind": "python", "factory": "lab.mine:make"}
    run = make(encoders={"mine": own}, evaluate=[{"encoder": "mine", "channel_sets": ["DNA_AGP_Mito"]}])
    with pytest.raises(ConfigError, match=r"there is no lab/mine.py"):
        check_run(run)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/mine.py").write_text("def make_it():\n    return 1\n")
    with pytest.raises(ConfigError, match=r"encoder mine: lab/mine.py has no make; define it there"):
        check_run(run)
    (tmp_path / "lab/mine.py").write_text("def make():\n    return 1\n")
    check_run(run)
    before = run.encoder("mine").own_code
    (tmp_path / "lab/mine.py").write_text("def make():  # one\n    return 1\n")
    assert run.encoder("mine").own_code == before
    (tmp_path / "lab/mine.py").write_text("def make():\n    return 2\n")
    assert run.encoder("mine").own_code != before


@pytest.mark.parametrize("factory", ["lab/mine.py:make", "lab/mine:make", "lab.mine.py:make"])
def test_a_factory_that_names_a_file_is_answered_with_its_module(make: Make, tmp_path: Path, factory: str) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/mine.py").write_text("def make():\n    return 1\n")
    own = {"kind": "python", "factory": factory}
    run = make(encoders={"mine": own}, evaluate=[{"encoder": "mine", "channel_sets": ["DNA_AGP_Mito"]}])
    with pytest.raises(ConfigError, match=r"factory names a file; give the module, lab\.mine:make"):
        check_run(run)


@pytest.mark.parametrize("prefix", ["cpg0016-jump", "", "/cpg0016-jump/"])
def test_known_bad_folders_hold_for_their_plates(prefix: str) -> None:
    root = prefix.strip("/") + "/" if prefix else ""
    place = {"source": "s", "batch": "B1", "plate": "Q2"}
    listed = {
        f"{root}s/images/B1/": "a batch",
        f"{root}s/images/B2/": "another batch",
        f"{root}s/images/B1/images/Q1/": "another plate",
        f"{root}s/images/B1/images/Q2/Images/x.tiff": "an image",
    }
    assert set(bad_objects(listed, place, prefix)) == {
        f"{root}s/images/B1/", f"{root}s/images/B1/images/Q2/Images/x.tiff",
    }  # fmt: skip


def test_execution_options_do_not_decide_results() -> None:
    options = {"workers": 3, "prefix": "p", "bucket": "b"}
    assert list(result_options("s3", options).items()) == [("bucket", "b"), ("prefix", "p")]
    assert execution_options("s3", options) == {"workers": 3}
    assert result_options("tiles", {"dtype": "uint8"}) == {"dtype": "uint8"}


def test_the_order_of_keys_in_the_config_does_not_count(make: Make) -> None:
    run, other = make(), make(split=dict(reversed(make().plain["split"].items())))
    assert repr(run.options("split")) == repr(other.options("split"))
    assert repr(run.counted_config()) == repr(other.counted_config())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluate": [{"encoder": "campfyre", "channel_sets": ["DNA"]}]}, "unknown encoder `campfyre`.*`campfire`"),
        ({"channel_sets": {"DNA": ["DNA", "Actin"]}}, "channel_sets.DNA.1: unknown channel `Actin`"),
        ({"sheet": None}, "evaluate: needs a `sheet`"),
        ({"channels": ["AGP", "Mito"], "training_channels": ["AGP"], "evaluate": []}, "has no DNA"),
        ({"encoders": {"campfire": {"weights": "w.safetensors"}}}, "give either `run`"),
    ],
)
def test_unknown_names_suggest_known_ones(make: Make, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(**changes)


def test_a_plate_of_both_sheets_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "transfer.tsv").write_text(transfer_sheet(["M1", "Q1"]))
    with pytest.raises(ConfigError, match=r"plate Q1 is in plates.tsv and in transfer.tsv"):
        check_run(make())


def test_targets_name_plates_of_the_run(make: Make) -> None:
    check_run(make(), ["results/tiles/Q1.npy", "all", "--cores"])
    with pytest.raises(ConfigError, match=r"plate Q9 is not in plates.tsv.*used are Q1, Q2"):
        check_run(make(), ["results/tiles/Q9.npy"])


def test_a_plate_may_have_dots_in_its_name(make: Make, tmp_path: Path) -> None:
    (tmp_path / "plates.tsv").write_text(SHEET.replace("Q1", "2016_04_01.P1.2"))
    check_run(make(), ["results/tiles/2016_04_01.P1.2.npy", "results/figures/plate_layout/2016_04_01.P1.2.png"])
    with pytest.raises(ConfigError, match="plate 2016_04_01 is not in"):
        check_run(make(), ["results/tiles/2016_04_01.P9.2.npy"])


def test_weights_must_be_there(make: Make) -> None:
    missing = {
        "dino_vits8": {"kind": "timm", "model": "vit", "weights": "none.safetensors"},
        "phenom": {"kind": "openphenom", "weights": "phenom.safetensors"},
        "theirs": {"kind": "table", "path": "theirs.csv"},
        "mine": {"kind": "timm", "model": "local-dir:weights/mine"},
    }
    run = make(encoders=missing, evaluate=[{"encoder": name, "channel_sets": ["DNA_AGP_Mito"]} for name in missing])
    with pytest.raises(ConfigError) as error:
        check_run(run)
    said = str(error.value)
    assert "encoder dino_vits8: no weights at none.safetensors" in said
    assert "encoder phenom: no weights at phenom.safetensors" in said and "huggingface.co/recursionpharma" in said
    assert "encoder mine: no config.json in weights/mine" in said
    assert "encoder theirs: no table of embeddings at theirs.csv" in said
    run = make(pretrain={"ablation": {"imagenet": {"large": "large.safetensors"}}})
    check_run(run)
    with pytest.raises(ConfigError, match=r"pretrain.ablation.imagenet.large: no ImageNet weights"):
        check_run(run, ["ablation"])


def test_weights_of_another_tile_size_and_unknown_models_are_reported_together(make: Make, tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"campfire": json.dumps({"model": {"image_size": 98}})}}).encode()
    (tmp_path / "other.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    run = make(
        encoders={
            "other": {"kind": "pretrained", "weights": "other.safetensors"},
            "tinny": {"kind": "timm", "model": "vit_tinny", "weights": "random"},
        },
        evaluate=[{"encoder": name, "channel_sets": ["DNA_AGP_Mito"]} for name in ("other", "tinny")],
    )
    with pytest.raises(ConfigError) as caught:
        check_run(run)
    lines = str(caught.value).splitlines()
    assert any("encoders.tinny.model: timm has no model 'vit_tinny'" in line for line in lines)
    assert any("other.safetensors was trained on tiles of 98 px, but tiles.size is 112" in line for line in lines)


def test_scripts_of_a_workflow_at_a_url_are_fetched(make: Make, repository: Path, tmp_path: Path) -> None:
    assert sorted(SCRIPTS) == sorted(path.stem for path in (repository / "workflow/scripts").glob("*.py"))
    here = make()
    away = Run(
        here.config, Path("https://example.org/workflow"), here.sheet, here.split_sheet, here.transfer_sheet,
        fetch=lambda name: str(repository / "workflow" / name),
    )  # fmt: skip
    assert away.code("embed") == here.code("embed")
    assert away.stage_digests() == here.stage_digests()
