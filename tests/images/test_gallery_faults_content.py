"""Faults of what the gallery holds: a bad object costs its site, with a reason; too many cost the plate."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campfire.core.errors import DataError
from campfire.images.gallery import read_known_bad
from campfire.simulate import serve
from support.gallery_bucket import Bucket, make_bucket, tiff
from support.gallery_fetch import ODD, assert_holds, fetch, reason, statuses
from support.gallery_proxy import Proxy, proxy_before


@contextmanager
def served(bucket: Bucket) -> Iterator[Proxy]:
    with serve(bucket.root) as url, proxy_before(url) as proxy:
        yield proxy


@pytest.mark.parametrize(("kind", "why"), [("404", "no such object"), ("403", "refused")])
def test_one_object_missing(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, kind: str, why: str) -> None:
    bucket, _ = intact
    proxy.fault(kind, "c02f01p01-ch1", times=None)
    record = fetch(bucket, proxy.url, tmp_path)
    assert statuses(record) == {"DNA": "excluded", "AGP": "missing", "Mito": "excluded"}
    assert why in reason(record, "AGP")
    assert (record["status"] == "ok").sum() == 15
    assert_holds(bucket, tmp_path, (ODD,))


def _corrupt(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + np.random.default_rng(0).bytes(200) + body[middle + 200 :]


def _stack(body: bytes) -> bytes:
    import io

    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.stack([tifffile.imread(io.BytesIO(body))] * 2))
    return buffer.getvalue()


def _eight_bit(body: bytes) -> bytes:
    import io

    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, (tifffile.imread(io.BytesIO(body)) // 8).astype(np.uint8))
    return buffer.getvalue()


def _flat(_body: bytes) -> bytes:
    import io

    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.full((48, 40), 7, np.uint16))
    return buffer.getvalue()


def _half_zero(_body: bytes) -> bytes:
    plain = tiff(5, compression=None)
    return plain[: len(plain) - 1500] + bytes(1500)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_corrupt, "not a readable TIFF"),
        (lambda body: bytes(len(body)), "zero-filled"),
        (_half_zero, "zero-filled"),
        (lambda _body: b"", "empty object"),
        (lambda body: body[: len(body) // 2], "TIFF"),
        (lambda _body: tiff(1, (24, 40)), "is 24x40 px, the plate's images are 48x40"),
        (_flat, "constant image: every pixel is 7"),
        (_stack, "a stack of 2 planes"),
        (_eight_bit, "pixels are uint8, the plate's images are uint16"),
    ],
)
def test_one_object_is_bad_at_the_source(tmp_path: Path, damage: Callable[[bytes], bytes], why: str) -> None:
    bucket = make_bucket(tmp_path / "s3", "damaged-bucket")
    path = bucket.path(*ODD, "Mito")
    path.write_bytes(damage(path.read_bytes()))
    with served(bucket) as proxy:
        record = fetch(bucket, proxy.url, tmp_path / "out")
        tries = len(proxy.gets(path.name))
    assert statuses(record) == {"DNA": "excluded", "AGP": "excluded", "Mito": "corrupt"}
    assert why in reason(record, "Mito")
    assert tries == 1 or why == "empty object"
    assert_holds(bucket, tmp_path / "out", (ODD,))


def test_a_channel_missing_at_one_site(tmp_path: Path) -> None:
    bucket = make_bucket(tmp_path / "s3", "gap-bucket")
    table = bucket.url_table()
    table.loc[table["Metadata_Well"].eq(ODD[0]) & table["Metadata_Site"].eq(ODD[1]), "URL_OrigMito"] = ""
    bucket.write_load_data(table)
    with served(bucket) as proxy:
        record = fetch(bucket, proxy.url, tmp_path / "out")
        assert len(proxy.gets(".tiff")) == 15
    assert statuses(record) == {"DNA": "excluded", "AGP": "excluded", "Mito": "missing"}
    assert "no Mito image" in reason(record, "Mito")
    assert_holds(bucket, tmp_path / "out", (ODD,))


def test_known_bad_objects_are_not_requested(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    bucket, _ = intact
    listing = tmp_path / "known_bad.tsv"
    listing.write_text(f"# found before\nkey\treason\n{bucket.key(*ODD, 'AGP')}\tcorrupt, issue #76\n")
    record = fetch(bucket, proxy.url, tmp_path / "out", read_known_bad(listing), max_bad_share=0.0)
    assert set(statuses(record).values()) == {"excluded"}
    assert reason(record, "AGP") == "known bad: corrupt, issue #76"
    assert not proxy.gets("c02f01p01-ch3sk1fk1fl1.tiff")
    assert_holds(bucket, tmp_path / "out", (ODD,))


def test_bytes_that_never_match_their_etag_are_corrupt(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path
) -> None:
    bucket, _ = intact
    proxy.fault("wrong", "c02f01p01-ch2", times=None)
    record = fetch(bucket, proxy.url, tmp_path)
    assert statuses(record)["Mito"] == "corrupt" and "ETag" in reason(record, "Mito")
    assert len(proxy.gets("c02f01p01-ch2sk1fk1fl1.tiff")) == 4
    assert_holds(bucket, tmp_path, (ODD,))


def test_too_many_bad_sites_fail_the_plate_with_the_list(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path
) -> None:
    bucket, url = intact
    proxy.fault("404", "c02f0", times=None)
    with pytest.raises(DataError, match=r"2 of 6 sites are missing or corrupt.*0\.2 allows.*A02 site 1 DNA missing"):
        fetch(bucket, proxy.url, tmp_path, max_bad_share=0.2)
    assert not (tmp_path / "sites.parquet").exists()
    listed = pd.read_csv(tmp_path / "problems.tsv", sep="\t", dtype=str)
    assert len(listed) == 6 and set(listed["Metadata_Well"]) == {"A02"}
    assert set(fetch(bucket, url, tmp_path, max_bad_share=0.2)["status"]) == {"ok"}
    assert_holds(bucket, tmp_path)


def test_wells_that_load_data_lacks_count_as_bad(tmp_path: Path) -> None:
    bucket = make_bucket(tmp_path / "s3", "partial-bucket")
    bucket.write_load_data(bucket.url_table().query("Metadata_Well != 'A03'"))
    with served(bucket) as proxy:
        with pytest.raises(DataError, match=r"2 of 6 sites.*A03 site all  ?missing \(load_data has no row"):
            fetch(bucket, proxy.url, tmp_path / "out", max_bad_share=0.2)
        record = fetch(bucket, proxy.url, tmp_path / "out", max_bad_share=0.4)
    assert statuses(record, ("A03", "")) == {"": "missing"}
    assert_holds(bucket, tmp_path / "out", (("A03", "1"), ("A03", "2")))


def test_same_inputs_same_record(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    bucket, _ = intact
    proxy.fault("404", "c02f01p01-ch1", times=None)
    first = fetch(bucket, proxy.url, tmp_path / "a")
    proxy.fault("truncate", "c03", times=1)
    second = fetch(bucket, proxy.url, tmp_path / "b", workers=1)
    pd.testing.assert_frame_equal(first, second)
