"""Objects per second and processor time per object of the download, against bare clients on the same local S3 server.

    python bench/download.py [--quick] [--objects 300] [--field FOLDER] [--json FILE]

The objects are the TIFFs of one field (by default the real JUMP field where the reference data lies beside the
checkout, else a simulated one) under many names, served without credentials by the test suite's server in a process of
its own. Each client fetches all of them into files: `boto3` is a bare loop without any check, `crt` the AWS common
runtime that boto3 can use for transfers (`pip install awscrt`), `obstore` a client in Rust (`pip install obstore`);
those that are not installed are left out. `campfire` retries, compares lengths and MD5s, decodes every image, compares
pictures, and keeps a journal; `boto3 + checks` is the bare loop with the same MD5, decoding and digest and nothing
else, the bound. Processor time is of the client's process, per object.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
from scaling import BATCH, BUCKET, PLATE, SOURCE, field_files, field_parser, make_bucket, write_json
from tiles import CHANNELS, machine

from campfire.core.memory import keep_freed_memory
from campfire.images.gallery import S3Options, fetch_plate, plan_download
from campfire.images.gallery.connect import connect
from campfire.images.gallery.verify import check_image

CLIENTS = ("boto3", "crt", "obstore", "boto3 + checks", "campfire")
WORKERS = 8


def bare_boto3(keys: list[str], out: Path, check: bool) -> None:
    client = connect(S3Options(bucket=BUCKET))
    for number, key in enumerate(keys):
        body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        if check:
            hashlib.md5(body, usedforsecurity=False).hexdigest()
            check_image(body)
        (out / f"{number}.tiff").write_bytes(body)


def by_crt(keys: list[str], out: Path) -> None:
    from urllib.parse import urlsplit

    from awscrt.http import HttpHeaders, HttpRequest
    from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup
    from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType

    host = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"]).netloc
    group = EventLoopGroup(1)
    client = S3Client(
        bootstrap=ClientBootstrap(group, DefaultHostResolver(group)),
        region="us-east-1",
        tls_mode=S3RequestTlsMode.DISABLED,
    )
    pending: list[Any] = []
    for number, key in enumerate(keys):
        request = HttpRequest("GET", f"/{BUCKET}/{key.replace(' ', '%20')}", HttpHeaders([("host", host)]))
        made = client.make_request(
            type=S3RequestType.GET_OBJECT, request=request, recv_filepath=str(out / f"{number}.tiff")
        )
        pending.append(made)
        if len(pending) == WORKERS:
            pending.pop(0).finished_future.result(60)
    for made in pending:
        made.finished_future.result(60)


def by_obstore(keys: list[str], out: Path) -> None:
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        endpoint=os.environ["AWS_ENDPOINT_URL_S3"],
        region="us-east-1",
        skip_signature=True,
        client_options={"allow_http": True},
    )
    for number, key in enumerate(keys):
        (out / f"{number}.tiff").write_bytes(obstore.get(store, key).bytes())


def by_campfire(plan: pd.DataFrame, out: Path) -> None:
    keep_freed_memory()  # as the workflow's job does
    options = S3Options(bucket=BUCKET, workers=WORKERS)
    record = fetch_plate(connect(options), plan, out, options)
    assert set(record["status"]) == {"ok"}


def measure(root: Path, wells: list[str]) -> list[dict[str, Any]]:
    """One row per client."""
    options = S3Options(bucket=BUCKET)
    plan, _ = plan_download(connect(options), options, SOURCE, BATCH, PLATE, wells, CHANNELS)
    keys = [key for key in plan["key"] if key]
    calls: dict[str, Callable[[Path], None]] = {
        "boto3": lambda out: bare_boto3(keys, out, check=False),
        "crt": lambda out: by_crt(keys, out),
        "obstore": lambda out: by_obstore(keys, out),
        "boto3 + checks": lambda out: bare_boto3(keys, out, check=True),
        "campfire": lambda out: by_campfire(plan, out),
    }
    rows: list[dict[str, Any]] = []
    for name, call in calls.items():
        if name in ("crt", "obstore") and find_spec("awscrt" if name == "crt" else name) is None:
            rows.append({"client": name, "left_out": "not installed"})
            continue
        for _ in range(2):  # the first warms up server, libraries and page cache
            with tempfile.TemporaryDirectory(dir=root) as folder:
                wall, cpu = time.perf_counter(), time.process_time()
                call(Path(folder))
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
                files = list(Path(folder).glob("*.tiff"))
                assert len(files) == len(keys), f"{name}: {len(files)} of {len(keys)} files"
                size = sum(file.stat().st_size for file in files)
        row = {"client": name, "objects": len(keys), "objects_per_s": len(keys) / wall}
        rows.append(row | {"mb_per_s": size / wall / 1e6, "ms_per_object": 1e3 * cpu / len(keys)})
        rows[-1]["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return rows


def run(sites: int, field: Path | None = None) -> list[dict[str, Any]]:
    """Rows of `measure` from a process beside a server of `sites` sites of five channels."""
    with tempfile.TemporaryDirectory(prefix="bench_download_") as folder:
        root = Path(folder)
        wells = make_bucket(root / "s3", field_files(field, root / "field"), sites)
        (root / "wells.json").write_text(json.dumps(wells))
        serve = [sys.executable, "-m", "campfire.simulate.server", str(root / "s3"), "--"]
        subprocess.run([*serve, sys.executable, __file__, "--served", str(root)], check=True)
        rows: list[dict[str, Any]] = json.loads((root / "rows.json").read_text())
        return rows


def main() -> None:
    parser = field_parser(__doc__, "few objects")
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--served", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.served:
        root = arguments.served
        (root / "rows.json").write_text(json.dumps(measure(root, json.loads((root / "wells.json").read_text()))))
        return
    rows = run(4 if arguments.quick else max(1, arguments.objects // 5), arguments.field)
    print(machine())
    for row in rows:
        if "left_out" in row:
            print(f"{row['client']:15s} left out: {row['left_out']}")
            continue
        print(
            f"{row['client']:15s} {row['objects_per_s']:6.1f} objects/s {row['mb_per_s']:7.1f} MB/s "
            f"{row['ms_per_object']:6.1f} ms of processor time per object, peak {row['peak_mib']:.0f} MiB"
        )
    write_json(arguments.json, rows=rows)


if __name__ == "__main__":
    main()
