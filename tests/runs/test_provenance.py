"""What a run says about itself."""

from pathlib import Path

from campfire.core.digests import value_digest
from campfire.runs import provenance


def test_versions_hardware_and_commit_are_filled(repository: Path) -> None:
    assert provenance.versions()["numpy"].count(".") == 2
    assert provenance.hardware()["cores"] >= 1
    assert len(provenance.git_commit(repository).split("+")[0]) in (7, 40)
    assert value_digest({"a": 1, "b": 2}) == value_digest({"b": 2, "a": 1})
