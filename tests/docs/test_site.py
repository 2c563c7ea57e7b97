"""The documentation builds as a site without a network, with every link and anchor leading somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import campfire
from campfire import cli
from campfire.runs.config.model import Config


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    # A proxy that nothing listens at: a request to the network would fail.
    environment = {**os.environ, "https_proxy": "http://127.0.0.1:9", "NO_MKDOCS_2_WARNING": "1"}
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=repository, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_reached_and_loads_nothing_from_elsewhere(site: Path, repository: Path) -> None:
    home = (site / "index.html").read_text()
    for doc in (repository / "docs").glob("*.md"):
        assert f'href="{doc.stem}.html"' in home, f"{doc.name} is not in the navigation"
    for page in site.glob("*.html"):
        foreign = re.findall(r'<(?:script|img|iframe)[^>]+src="(https?://[^"]+)"', page.read_text())
        foreign += re.findall(r'<link[^>]+rel="stylesheet"[^>]+href="(https?://[^"]+)"', page.read_text())
        assert not foreign, (page.name, foreign)


def test_reference_names_every_command_option_section_and_public_name(site: Path) -> None:
    commands = (site / "commands.html").read_text()
    assert all(f'id="campfire-{name}"' in commands for name in cli.COMMANDS)
    assert 'id="campfire-export-anndata"' in commands and "--licence" in commands
    config = (site / "config.html").read_text()
    assert all(f"<code>{name}</code>" in config or f'id="{name}' in config for name in Config.model_fields)
    api = (site / "api.html").read_text()
    assert all(f'id="campfire{name.lower()}"' in api for name in campfire.__all__)
    assert "doc-contents" in api and "Z'" in api
