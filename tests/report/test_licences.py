"""Licences of published encoders stand under the tables that show them."""

import pandas as pd

from campfire.encoders import licence_of
from campfire.report.tables.beside_paper import with_licences
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table


def test_licences_of_the_encoders_in_a_table_are_noted() -> None:
    data = pd.DataFrame({"encoder": ["campfire", "phenom", "phenom", "theirs"]})
    table = Table("title", data, pd.DataFrame(), ("a note",))
    specs = {
        "campfire": {"kind": "pretrained"},
        "phenom": {"kind": "openphenom"},
        "theirs": {"kind": "table", "path": "t.csv", "licence": "CC0"},
        "elsewhere": {"kind": "morphem"},
    }
    options = TableOptions(labels={"phenom": "OpenPhenom"})
    found = with_licences(table, {name: licence_of(spec) for name, spec in specs.items()}, options)
    assert found.notes[0] == "a note"
    assert found.notes[1] == "Licences. OpenPhenom: code CC BY-NC 4.0; weights non-commercial. theirs: CC0."
    assert with_licences(table, {"elsewhere": "MIT"}, options) == table
