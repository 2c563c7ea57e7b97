"""The pictures of the page in README and tutorial are of the page as it is now."""

from pathlib import Path

from screenshots import DIGEST, assets_digest


def test_the_screenshots_are_of_this_page(repository: Path) -> None:
    images = repository / "docs/images"
    text = "".join((repository / page).read_text() for page in ("README.md", "docs/tutorial.md"))
    assert (images / DIGEST).read_text().strip() == assets_digest(), "the page has changed: run `make screenshots`"
    for name in ("page_plate.jpg", "page_well.jpg", "page_map.jpg"):
        assert 20_000 < (images / name).stat().st_size < 400_000
        assert name in text
