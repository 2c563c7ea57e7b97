"""Every wrong key or value of a config is answered with its place and with what would be right, all at once."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from campfire.core.errors import ConfigError
from campfire.core.yaml import merge, read_yaml
from campfire.runs.config import Config
from campfire.runs.config.read import RENAMED
from campfire.runs.config.table import readme

Answer = Callable[..., str]
CONFIGS = ["demo", "nf1", "pilot", "smoke", "sceptic", "strict", "strict-against-release"]


@pytest.fixture
def base(repository: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_yaml(repository / "config/config.yaml")
    return found


@pytest.fixture
def answer(base: dict[str, Any], repository: Path) -> Answer:
    """What is said of a config with these changes."""

    def read(**changes: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            Config.read(merge(base, changes), [repository / "config/config.yaml"])
        return str(caught.value)

    return read


def run(**options: Any) -> dict[str, Any]:
    return {"pretrain": {"runs": {"campfire": options}}}


@pytest.mark.parametrize("name", [None, *CONFIGS])
def test_shipped_configs_are_right(repository: Path, base: dict[str, Any], name: str | None) -> None:
    changes = read_yaml(repository / f"config/{name}.yaml") if name else {}
    if name == "strict-against-release":
        changes = merge(read_yaml(repository / "config/strict.yaml"), changes)
    config = Config.read(merge(base, changes))
    assert Config.read(config.plain()) == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prob": {}}, ["prob: no such option", "did you mean `probe`?"]),
        ({"probe": {"epoch": 3}}, ["probe.epoch: no such option; did you mean `epochs`?"]),
        ({"split": {"protocol": "papper"}}, ["'papper' is not one of release, paper, strict", "did you mean `paper`?"]),
        ({"probe": {"epochs": "many"}}, ["probe.epochs: 'many'", "expected a whole number", "most passes over"]),
        ({"channel_sets": {"my set": ["DNA"]}}, ["my set", "only letters, digits, dot, dash and underscore"]),
        ({"encoders": {"x": {}}}, ["encoders.x: kind is missing"]),
        ({"encoders": {"x": {"kind": "tim"}}}, ["unknown kind 'tim'; did you mean `timm`?"]),
        ({"encoders": {"x": {"kind": "timm", "modell": "a"}}}, ["encoders.x.modell", "did you mean `model`?"]),
        ({"encoders": {"x": {"kind": "release", "weights": "w"}}}, ["encoders.x.normalisation: is missing"]),
        ({"nuclei": {"device": None}}, ["nuclei.device: nothing is given; expected text"]),
        ({"pretrain": {"runs": {"campfire": {"device": "cpu"}}}}, ["device: the workflow sets this itself"]),
        ({"evaluate": [{"encoder": "camfire", "channel_sets": ["DNA"]}]}, ["evaluate.0.encoder: unknown encoder"]),
    ],
)
def test_a_mistake_names_the_place_and_the_remedy(answer: Answer, changes: dict[str, Any], words: list[str]) -> None:
    said = answer(**changes)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": ["DNA", False]}, "channels.1: False is not valid; expected text .YAML reads NO, yes, on and off"),
        (run(learning_rate="1e-3"), "'1e-3' is not valid; expected a number .YAML reads it as text: write 0.001"),
        ({"embed": {"batch_size": 64.0}}, "write 64"),
        ({"profiles": {"negative_controls": [33924]}}, "put it in quotes: '33924'"),
        ({"transfer": {"encoders": "campfire"}}, r"expected a list .write \[campfire\]"),
    ],
)
def test_what_yaml_reads_otherwise_is_explained(answer: Answer, changes: dict[str, Any], words: str) -> None:
    assert re.search(words, answer(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (run(epochs=10), "warmup_epochs: 20 is above epochs (10)"),
        (run(global_batch=8), "global_batch: 8 is below batch_size (400)"),
        (run(precision="fp16"), "precision: 'fp16' is not one of auto, fp32, bf16"),
        (run(model={"patch_size": 15}), "15 px does not divide tiles of 112 px; choose a divisor such as 14"),
        (run(learning_rate=-1), "learning_rate: -1 must be above 0"),
        ({"probe": {"folds": 1}}, "probe.folds: 1 must be at least 2"),
        ({"tables": {"level": 95}}, "tables.level: 95 must be below 1"),
        ({"tables": {"replicates": 0}}, "tables.replicates: 0 must be at least 1"),
        ({"transfer": {"zprime": {"level": 95}}}, "transfer.zprime.level: 95 must be below 1"),
        ({"transfer": {"zprime": {"replicates": 0}}}, "transfer.zprime.replicates: 0 must be at least 1"),
        ({"pixel_size_um": 598}, "pixel_size_um: 598 looks like nanometres; give micrometres: 0.598"),
        ({"pixel_size_um": 5.98e-07}, "5.98e-07 looks like metres; give micrometres: 0.598"),
        ({"transfer": {"pixel_size_um": 300}}, "transfer.pixel_size_um: 300 looks like nanometres"),
        ({"tiles": {"size": 96}}, "patch_size: 14 px does not divide tiles of 96 px"),
        (run(model={"image_size": 96}), "image_size: 96 contradicts tiles.size (112), which it follows; remove it"),
        ({"sheet": None}, "evaluate: needs a `sheet` of plates"),
        ({"channels": ["AGP", "Mito"]}, "has no DNA, which nucleus segmentation requires"),
        ({"channels": ["DNA", "AGP", "Mito"]}, "unknown channel `ER`"),
        ({"tables": {"encoders": ["camfire"]}}, "encoders.0: unknown encoder `camfire`; did you mean `campfire`?"),
        ({"tables": {"twins": {"campfire": "twin"}}}, "tables.twins.campfire: unknown encoder `twin`"),
        ({"tables": {"id_channels": "DNA_ER"}}, "no encoder of `evaluate` has the channel set DNA_ER"),
        ({"probe": {"protocols": ["strict"]}}, "tables.protocol: release leads the tables but is not among"),
        ({"encoders": {"x": {"kind": "pretrained"}}}, "encoders.x: give either `run`"),
        ({"encoders": {"x": {"kind": "python", "factory": "mine"}}}, "encoders.x.factory: give it as module:function"),
        ({"pretrain": {"ablation": {"recipe": {"epoch": 2}}}}, "pretrain.ablation.recipe.epoch: no such option"),
        ({"pretrain": {"ablation": {"recipe": {"epochs": 2}}}}, "warmup_epochs: 20 is above epochs (2)"),
        ({"redo": "images,pretran"}, "redo: 'pretran' is not one of images, tiles"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_found_before_the_first_job(
    answer: Answer, changes: dict[str, Any], words: str
) -> None:
    assert words in answer(**changes)


def test_all_mistakes_are_listed_at_once(answer: Answer) -> None:
    said = answer(
        probe={"folds": 1, "epoch": 3},
        tables={"level": 95},
        evaluate=[{"encoder": "camfire", "channel_sets": ["DNA_AGP_Mito"]}],
        **run(epochs=10, precision="fp16"),
    )
    places = [line.split(": ")[1] for line in said.splitlines()]
    assert sorted(places) == sorted(
        [
            "probe.folds", "probe.epoch", "tables.level", "evaluate.0.encoder",
            "pretrain.runs.campfire.precision", "pretrain.runs.campfire.warmup_epochs",
        ]
    )  # fmt: skip


def test_the_line_of_a_mistake_is_named(base: dict[str, Any], repository: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("# mine\nprobe:\n  folds: 1\n  epoch: 3\n")
    files = [repository / "config/config.yaml", own]
    with pytest.raises(ConfigError) as caught:
        Config.read(merge(base, {**read_yaml(own), "tables": {"level": 95}}), files)
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"{own}, line 3: probe.folds: 1") for line in lines)
    assert any(line.startswith(f"{own}, line 4: probe.epoch: ") for line in lines)
    assert any(line.startswith("config: tables.level: 95") for line in lines), "given by --config: no file has it"


def test_one_tile_size_fills_all_others(base: dict[str, Any]) -> None:
    config = Config.read(merge(base, {"tiles": {"size": 98}, "encoders": {"campfire": {"kind": "pretrained"}}}))
    assert config.pretrain.runs["campfire"].model.image_size == config.nuclei.tile_size == 98
    assert config.plain()["encoders"]["dino_vits8"]["tile_size"] == 98
    assert config.nuclei.border == "drop"


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("all", {"loss": None, "architecture": None, "mask": None, "optimiser": None}),
        ("loss", {"loss": None}),
        ("loss,optimiser", {"loss": None, "optimiser": None}),
        ({"loss": [1, 3], "optimiser": "all"}, {"loss": (1, 3), "optimiser": None}),
        ({"loss": 3}, {"loss": (3,)}),
    ],
)
def test_trials_are_chosen_by_stage(base: dict[str, Any], given: Any, chosen: dict[str, Any]) -> None:
    assert Config.read({**base, "trials": given}).trials == chosen


def test_a_wrong_stage_suggests_a_known_one(answer: Answer) -> None:
    assert "did you mean `loss`" in answer(trials={"los": [1]})


def test_training_channels_and_control_are_defaults(base: dict[str, Any]) -> None:
    changes = {"training_channels": ["DNA", "ER"], "split": {"controls": ["C1", "C2"]}}
    config = Config.read(merge(base, changes))
    assert config.pretrain.runs["campfire"].channels == ("DNA", "ER")
    assert config.profiles.negative_controls == ("C1",)


def test_another_kind_may_be_given_to_an_encoder_of_the_default_config(base: dict[str, Any]) -> None:
    changes = {"encoders": {"untrained": {"kind": "python", "factory": "mine:make"}}}
    assert Config.read(merge(base, changes)).plain()["encoders"]["untrained"]["kind"] == "python"


def test_former_keys_suggest_the_new_ones(base: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"config: ablation: this option is called `trials` now; rename it"):
        Config.read(merge(base, {"ablation": "loss"}))
    monkeypatch.setattr("campfire.runs.config.read.RENAMED", {"probe.rounds": "probe.epochs"})
    with pytest.raises(ConfigError, match=r"probe.rounds: this option is called `probe.epochs` now"):
        Config.read(merge(base, {"probe": {"rounds": 3}}))
    assert all(Config.model_fields.get(new.split(".")[0]) for new in RENAMED.values())


def test_every_option_has_a_description_and_the_readme_lists_it(repository: Path) -> None:
    def walk(kind: type[BaseModel], place: str) -> Iterator[str]:
        for name, field in kind.model_fields.items():
            if not field.description and name != "kind":
                yield f"{place}.{name}"
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from walk(inner, f"{place}.{name}")

    assert list(walk(Config, "config")) == []
    assert (repository / "config/README.md").read_text(encoding="utf-8") == readme(), "run `make config-table`"


def test_a_config_is_read_without_heavy_libraries() -> None:
    heavy = "{'torch', 'sklearn', 'scipy', 'matplotlib', 'skimage', 'boto3', 'pandas', 'pyarrow'}"
    code = f"import sys, campfire.runs.config; print(*({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_nested_values_of_the_command_line_are_numbers_again(repository: Path) -> None:
    """`--config 'trials={loss: [1, 3]}'`: Snakemake parses the outer value and leaves the inner ones as text."""
    file = repository / "config/config.yaml"
    values = read_yaml(file) | {"trials": {"loss": ["1", "3"]}}
    assert list(Config.read(values, files=[file]).trials["loss"] or ()) == [1, 3]
    quoted = read_yaml(file) | {"trials": {"loss": ["one"]}}
    with pytest.raises(ConfigError, match=r"trials.loss.0: 'one'"):
        Config.read(quoted, files=[file])
