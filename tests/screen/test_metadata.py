"""Fetching metadata tables, reading the sheet of plates and the wells."""

import gzip
import hashlib
import threading
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from campfire.core.columns import BATCH, COMPOUND, PLATE, PLATE_TYPE, SOURCE, WELL
from campfire.core.errors import ConfigError, DataError
from campfire.screen import metadata
from campfire.screen.metadata import download

TABLE = gzip.compress(b"Metadata_Plate,Metadata_Well\nP1,A01\n", mtime=0)
SHA256 = hashlib.sha256(TABLE).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Answers by path; /busy/N fails N times before it answers."""

    refused: dict[str, int]

    def do_GET(self) -> None:
        body, status, length = TABLE, 200, len(TABLE)
        if self.path.startswith("/busy"):
            left = self.refused.setdefault(self.path, int(self.path.split("/")[2]))
            self.refused[self.path] = left - 1
            if left > 0:
                status = 503
        elif self.path.startswith("/short"):
            body = TABLE[:10]
        elif self.path.startswith("/page"):
            body, length = b"<html>", 6
        elif not self.path.startswith("/well"):
            status = 404
        self.send_response(status)
        self.send_header("Content-Length", str(length if status == 200 else 0))
        self.end_headers()
        if status == 200:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(download, "_FIRST_PAUSE_S", 0.0)
    handler = type("Fresh", (Server,), {"refused": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_fetch_from_server_file_and_path(address: str, tmp_path: Path) -> None:
    source = tmp_path / "a folder" / "well.csv.gz"
    source.parent.mkdir()
    source.write_bytes(TABLE)
    for i, where in enumerate([f"{address}/well.csv.gz", source.as_uri(), source, str(source)]):
        out = metadata.fetch(where, tmp_path / str(i) / "well.csv.gz", SHA256.upper())
        assert out.read_bytes() == TABLE


def test_sum_of_the_content_holds_however_it_is_compressed(tmp_path: Path) -> None:
    content = gzip.decompress(TABLE)
    wanted = hashlib.sha256(content).hexdigest()
    again = tmp_path / "again.csv.gz"
    again.write_bytes(gzip.compress(content, compresslevel=1, mtime=7))
    assert metadata.fetch(again, tmp_path / "well.csv.gz", wanted).read_bytes() != TABLE
    again.write_bytes(gzip.compress(content + b"x"))
    with pytest.raises(DataError, match="SHA-256 is"):
        metadata.fetch(again, tmp_path / "other.csv.gz", wanted)


def test_fetch_retries_a_busy_server(address: str, tmp_path: Path) -> None:
    assert metadata.fetch(f"{address}/busy/2", tmp_path / "a").read_bytes() == TABLE
    with pytest.raises(DataError, match=r"answers 503.*put a copy of the file on this machine"):
        metadata.fetch(f"{address}/busy/9", tmp_path / "b")


def test_fetch_keeps_what_is_there_and_right(tmp_path: Path) -> None:
    out = tmp_path / "well.csv.gz"
    out.write_bytes(TABLE)
    assert metadata.fetch("https://nowhere.invalid/well.csv.gz", out, SHA256) == out


def test_fetch_failures_leave_the_destination_as_it_was(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "well.csv.gz"
    out.write_bytes(b"old")
    cases = [
        (f"{address}/well.csv.gz", "0" * 64, DataError, f"SHA-256 is {SHA256}, not 000"),
        (f"{address}/gone.csv.gz", None, DataError, "answers 404.*correct the address"),
        (f"{address}/short.csv.gz", None, DataError, "the transfer broke off"),
        (f"{address}/page.csv.gz", None, DataError, "not a gzip file"),
        ("/no/such/file.csv.gz", None, DataError, "cannot read this file"),
        (str(tmp_path), None, DataError, "cannot read this file"),
        ("ftp://host/well.csv.gz", None, ConfigError, "cannot fetch ftp://"),
        (f"{address}/well.csv.gz", "abc", ConfigError, "not 64 hexadecimal digits"),
    ]
    for where, sha256, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            metadata.fetch(where, out, sha256)
        assert str(where) in str(caught.value)

    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(download.urllib.request, "urlopen", offline)
    with pytest.raises(DataError, match=r"cannot be reached \(Name or.*put a copy of the file on this machine"):
        metadata.fetch("https://example.org/well.csv.gz", out)
    assert out.read_bytes() == b"old" and [path.name for path in tmp_path.iterdir()] == [out.name]


HEADER = f"{SOURCE}\t{BATCH}\t{PLATE}\t{PLATE_TYPE}\trole"


def sheet_file(folder: Path, *lines: str, name: str = "plates.tsv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_sheet_of_the_paper(repository: Path, shared: Path) -> None:
    sheet = metadata.read_sheet(repository / "config" / "plates.tsv")
    expected = metadata.make_sheet(metadata.read_plates(shared / "data" / "metadata" / "plate.csv.gz"))
    pd.testing.assert_frame_equal(sheet, expected, check_dtype=False)
    assert sheet.groupby([PLATE_TYPE, "role"]).size().to_dict() == {
        ("COMPOUND", "train"): 237,
        ("TARGET2", "id"): 20,
        ("TARGET2", "ood"): 5,
    }
    assert sorted(sheet.loc[sheet["role"] == "ood", PLATE]) == sorted(metadata.PAPER_OOD_PLATES)


def test_controls_are_jumps(shared: Path) -> None:
    table = pd.read_csv(shared / "data" / "metadata" / "perturbation_control.csv", dtype=str)
    compound = table[table["Metadata_modality"] == "compound"].set_index("Metadata_JCP2022")
    assert set(compound.index) == set(metadata.CONTROLS)
    assert compound.loc[metadata.NEGATIVE_CONTROL, "Metadata_pert_type"] == "negcon"
    names = compound[compound["Metadata_pert_type"] == "poscon"]["Metadata_Name"]
    assert names.to_dict() == metadata.POSITIVE_CONTROLS
    assert table.set_index("Metadata_JCP2022").loc[metadata.UNTREATED, "Metadata_pert_type"] == "empty"


def test_sheet_is_text_and_keeps_its_order(tmp_path: Path) -> None:
    path = sheet_file(
        tmp_path, "# a note", HEADER + "\tnote", "s1\tb\t0042\tTARGET2\tood\tx", "", "s1\tb\t7\tORF\tid\t"
    )
    sheet = metadata.read_sheet(path)
    assert sheet[PLATE].tolist() == ["0042", "7"] and sheet["note"].tolist() == ["x", ""]
    commas = sheet_file(tmp_path, HEADER.replace("\t", ","), "s1,b,P1,COMPOUND,train", name="plates.csv")
    assert metadata.read_sheet(commas)["role"].tolist() == ["train"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "the sheet of plates is empty"),
        ([HEADER], "names no plates"),
        ([HEADER.replace("\trole", "")], "line 1: no column role"),
        ([HEADER.replace("\t", " ")], "line 1: no column .* separated by tabs"),
        ([HEADER + "\trole"], "line 1: a column name occurs twice"),
        (
            [HEADER, "s\tb\tP1\tTARGET2\tid", "# note", "s\tb\tP1\tTARGET2\tood"],
            "line 4: plate P1 is already on line 2",
        ),
        ([HEADER, "s\tb\tP1\tTARGET2\ttest"], "line 2: plate P1 has unknown role 'test'; use id, ood, train"),
        ([HEADER, "s\tb\tP1\tTARGET2"], "line 2: 4 fields for 5 columns"),
        ([HEADER, "s\t\tP1\tTARGET2\tid"], "line 2: Metadata_Batch is blank"),
        ([HEADER, "s\tb\t../P1\tTARGET2\tid"], "line 2: plate '../P1' may have only"),
    ],
)
def test_wrong_sheets(tmp_path: Path, lines: list[Any], message: str) -> None:
    path = sheet_file(tmp_path, *lines)
    with pytest.raises(ConfigError, match=message) as caught:
        metadata.read_sheet(path)
    assert str(caught.value).startswith(str(path))


def test_unreadable_sheets(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such sheet"):
        metadata.read_sheet(tmp_path / "none.tsv")
    with pytest.raises(ConfigError, match="cannot read the sheet"):
        metadata.read_sheet(tmp_path)
    binary = tmp_path / "plates.xlsx"
    binary.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(ConfigError, match="save it as tab-separated UTF-8 text"):
        metadata.read_sheet(binary)


def test_a_plain_local_csv_is_compressed(tmp_path: Path) -> None:
    (tmp_path / "wells.csv").write_text("a,b\n1,2\n")
    found = metadata.fetch(str(tmp_path / "wells.csv"), tmp_path / "well.csv.gz")
    assert gzip.decompress(found.read_bytes()) == b"a,b\n1,2\n"
    before = found.read_bytes()
    assert metadata.fetch(tmp_path / "wells.csv", tmp_path / "well.csv.gz").read_bytes() == before


def test_any_type_unless_asked(tmp_path: Path) -> None:
    path = sheet_file(tmp_path, HEADER, "s\tb\tP1\tMACROPHAGE\tid")
    assert metadata.read_sheet(path)[PLATE_TYPE].tolist() == ["MACROPHAGE"]


def test_real_wells(repository: Path, shared: Path) -> None:
    sheet = metadata.read_sheet(repository / "config" / "plates.tsv")
    wells = metadata.read_wells(shared / "data" / "metadata" / "well.csv.gz", sheet)
    assert len(wells) == 100528 and wells[PLATE].nunique() == 262
    assert wells[COMPOUND].str.startswith("JCP2022_").all()
    some = metadata.read_wells(shared / "data" / "metadata" / "well.csv.gz", ["JCPQC036"])
    assert len(some) == 383 and "P01" not in set(some[WELL])


def well_file(folder: Path, *rows: str) -> Path:
    path = folder / "well.csv.gz"
    with gzip.open(path, "wt") as handle:
        handle.write("\n".join([f"{SOURCE},{PLATE},{WELL},{COMPOUND}", *rows]) + "\n")
    return path


def test_wells_are_text_of_the_right_source(tmp_path: Path) -> None:
    rows = ["s2,0042,B01,NA", "s1,0042,B01,007", "s1,0042,A01,null", "s1,0042,c3,Y", "s1,0042,P024,Z", "s1,9,A01,X"]
    sheet = pd.DataFrame({SOURCE: ["s1"], PLATE: ["0042"]})
    wells = metadata.read_wells(well_file(tmp_path, *rows), sheet)
    named = [["B01", "007"], ["A01", "null"], ["C03", "Y"], ["P24", "Z"]]
    assert wells[[WELL, COMPOUND]].to_numpy().tolist() == named


def test_leading_zeros_that_a_spreadsheet_dropped_are_named(tmp_path: Path) -> None:
    sheet = pd.DataFrame({SOURCE: ["s1"], PLATE: ["0042"]})
    with pytest.raises(DataError, match=r"no wells of plate 0042; it has plate 42 \(spreadsheets drop leading zeros"):
        metadata.read_wells(well_file(tmp_path, "s1,7,A01,X", "s1,42,A01,X"), sheet)
    with pytest.raises(DataError, match="no wells of plate 0042; plate 0042 is there with source s2; correct"):
        metadata.read_wells(well_file(tmp_path, "s2,0042,A01,X"), sheet)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["s1,P2,A01,X"], "no wells of plate P1; it has plates such as P2; correct plate and source"),
        (["s1,P1,A01,X", "s1,P1,A01,Y"], "plate P1, well 'A01' occurs twice"),
        (["s1,P1,A01,X", "s1,P1,A1,Y"], "plate P1, well 'A01' occurs twice"),
        (["s1,P1,1A,X"], "line 2: plate P1, well '1A' is no well name such as A01"),
        (["s1,P1,A00,X"], r"well 'A00' is no well: columns start at 01; are columns counted from 0\?"),
        ([f"s1,P1,{r}{c:02d},X" for r in "ABCDEFGH" for c in range(2, 14)], "are the wells one column off"),
        ([f"s1,P1,{r}{c:02d},X" for r in "ABCDEFGHIJ" for c in range(2, 26)], "are the wells one column off"),
        (["s1,P1,W41,X", *(f"s1,P1,A{c:02d},X" for c in range(1, 25))], "W41 lies beyond P24"),
        (["s1,P1,A01,"], "plate P1, well 'A01' has no Metadata_JCP2022"),
    ],
)
def test_wrong_wells(tmp_path: Path, rows: list[Any], message: str) -> None:
    path = well_file(tmp_path, *rows)
    with pytest.raises(DataError, match=message) as caught:
        metadata.read_wells(path, ["P1"])
    assert str(path) in str(caught.value)


def test_unreadable_wells(tmp_path: Path) -> None:
    path = tmp_path / "well.csv.gz"
    with pytest.raises(DataError, match="no such table"):
        metadata.read_wells(path, ["P1"])
    for content in (b"plain text", TABLE[:-12], TABLE[:15] + b"\x00\xff" + TABLE[17:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"cannot read the table of wells|no column"):
            metadata.read_wells(path, ["P1"])
    path.write_bytes(TABLE)
    with pytest.raises(DataError, match="no column Metadata_Source, Metadata_JCP2022"):
        metadata.read_wells(path, ["P1"])


def test_sheet_of_another_source() -> None:
    plates = pd.DataFrame(
        {
            SOURCE: "s2",
            BATCH: ["b", "a", "a"],
            PLATE: ["P3", "P2", "P1"],
            PLATE_TYPE: ["TARGET2", "TARGET2", "COMPOUND"],
        }
    )
    sheet = metadata.make_sheet(plates, "s2", ood_plates=["P3"])
    assert sheet[[PLATE, "role"]].to_numpy().tolist() == [["P2", "id"], ["P3", "ood"], ["P1", "train"]]
    with pytest.raises(ConfigError, match="s2 has no TARGET2 plate P9"):
        metadata.make_sheet(plates, "s2", ood_plates=["P9"])


def test_structures_are_first_blocks_of_inchikeys(tmp_path: Path) -> None:
    path = tmp_path / "compound.csv.gz"
    lines = [f"{COMPOUND},Metadata_InChIKey", "J1,AAAAAAAAAAAAAA-BBBBBBBBSA-N", "J2,AAAAAAAAAAAAAA-CCCCCCCCSA-N", "J3,"]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert metadata.read_structures(path) == {"J1": "AAAAAAAAAAAAAA", "J2": "AAAAAAAAAAAAAA"}
    path.write_bytes(gzip.compress(b"Metadata_JCP2022\nJ1\n"))
    with pytest.raises(DataError, match="no column Metadata_InChIKey"):
        metadata.read_structures(path)
