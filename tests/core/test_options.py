"""What every option class can do."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from campfire.core.errors import ConfigError
from campfire.core.options import Names, Options, option, plausible_pixel_size


class Part(Options):
    """A part."""

    weight: float = option(0.5, "weight of the part", ge=0, le=1)
    threads: int = option(1, "threads", execution=True, ge=1)


class Example(Options):
    """An example."""

    section: ClassVar[str] = "example"

    low: int = option(1, "the lower end", unit="px", source="paper 1", ge=0)
    high: int = option(5, "the upper end", ge=0)
    names: Names = option((), "names")
    part: Part = option(Part(), "a part")
    parts: Mapping[str, Part] = option({}, "parts by name")
    workers: int = option(2, "processes", execution=True, ge=1)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.low > self.high:
            yield "low", f"{self.low} is above high ({self.high})"
        if "none" in self.names:
            yield "names", "`none` is no name"


def said(**values: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Example(**values)
    return str(caught.value).splitlines()


def test_options_are_equal_by_value_and_cannot_be_changed() -> None:
    example = Example(names=["a"], part={"weight": 1})  # type: ignore[arg-type]
    assert example == Example(**example.values()) and example.names == ("a",)
    assert example.changed(low=2).low == 2 and example.low == 1
    with pytest.raises(ValueError, match="frozen"):
        example.low = 3
    with pytest.raises(ConfigError, match=r"example.low: 9 is above high \(5\)"):
        example.changed(low=9)


def test_every_mistake_is_a_line_with_its_place() -> None:
    assert said(low=-1, hihg=3, part={"weight": 2.0}) == [
        "example.low: -1 must be at least 0 (the lower end)",
        "example.part.weight: 2.0 must be at most 1.0 (weight of the part)",
        "example.hihg: no such option; did you mean `high`?",
    ]
    assert said(low=9, names=["none"]) == ["example.low: 9 is above high (5)", "example.names: `none` is no name"]


def test_result_options_and_execution_options_are_told_apart() -> None:
    example = Example(parts={"a": Part(threads=3)}, workers=4)
    assert example.result_options() == {
        "low": 1, "high": 5, "names": [], "part": {"weight": 0.5}, "parts": {"a": {"weight": 0.5}},
    }  # fmt: skip
    assert example.execution_options() == {"part": {"threads": 1}, "parts": {"a": {"threads": 3}}, "workers": 4}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (598, "598 looks like nanometres; give micrometres: 0.598"),
        (5.98e-7, "looks like metres; give micrometres: 0.598"),
        (0, "not a plausible pixel size"),
        (-0.6, "not a plausible pixel size"),
    ],
)
def test_an_implausible_pixel_size_suggests_its_likely_unit(value: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plausible_pixel_size(value)
    assert plausible_pixel_size(0.598) == 0.598
