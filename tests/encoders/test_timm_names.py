"""Names of timm models are checked without importing timm."""

import subprocess
import sys

import pytest

from campfire.encoders.timm_names import REGISTERED, _files, unknown_timm_model


@pytest.mark.parametrize(
    "name", ["vit_small_patch8_224.dino", "vit_large_patch14_dinov2.lvd142m", "resnet50", "hf-hub:owner/model", ""]
)
def test_names_that_timm_has_pass(name: str) -> None:
    assert unknown_timm_model(name) == ""


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    said = unknown_timm_model("vit_smal_patch8_224.dino")
    assert said == "timm has no model 'vit_smal_patch8_224'; did you mean `vit_small_patch8_224`?"


def test_the_source_names_what_timm_lists() -> None:
    code = "import timm; print(*timm.list_models())"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    found = {name for path in _files() for name in REGISTERED.findall(path.read_text(encoding="utf-8"))}
    assert len(listed) > 1000 and set(listed) <= found
