"""People and titles from CITATION.cff, in the forms of RO-Crate and Zenodo."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from campfire.core.errors import ConfigError

OWN = Path(__file__).resolve().parents[3] / "CITATION.cff"
"""The project's own file, in a checkout."""


@dataclass(frozen=True)
class Citation:
    """What a CITATION.cff says of a work and its authors."""

    title: str
    authors: list[dict[str, Any]]

    @classmethod
    def read(cls, path: str | Path) -> "Citation":
        """The title and authors; ConfigError for a file that is missing, unreadable or names nobody."""
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            title, authors = str(content["title"]), list(content["authors"])
            if not authors or not all("name" in author or "family-names" in author for author in authors):
                raise ValueError("it names no authors")
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: no such file of authors; name a CITATION.cff with --citation") from error
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: not a CITATION.cff with title and authors ({error}); correct it") from error
        return cls(title, authors)

    def entities(self) -> list[dict[str, Any]]:
        """Authors as entities of an RO-Crate: persons, and organisations where the file gives only a name."""
        found = []
        for number, author in enumerate(self.authors, 1):
            person = "family-names" in author
            entity: dict[str, Any] = {
                "@id": author.get("orcid") or author.get("website") or f"#author-{number}",
                "@type": "Person" if person else "Organization",
                "name": " ".join(filter(None, [author.get("given-names"), author.get("family-names")]))
                if person
                else author["name"],
            }
            if author.get("affiliation"):
                entity["description"] = str(author["affiliation"])
            found.append(entity)
        return found

    def creators(self) -> list[dict[str, str]]:
        """Authors as Zenodo's creators: `Family, Given`, with affiliation and the number of the ORCID."""
        found = []
        for author in self.authors:
            family, given = author.get("family-names"), author.get("given-names")
            creator = {"name": ", ".join(filter(None, [family, given])) if family else str(author["name"])}
            if author.get("affiliation"):
                creator["affiliation"] = str(author["affiliation"])
            if author.get("orcid"):
                creator["orcid"] = str(author["orcid"]).rstrip("/").rpartition("/")[2]
            found.append(creator)
        return found
