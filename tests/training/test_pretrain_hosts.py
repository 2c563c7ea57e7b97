"""Training on two hosts (network namespaces) whose names stand for loopback addresses, with two interfaces each."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from campfire.training.network import addresses, interface_towards
from support.pretrain_plates import PLATES, options, same_run, split_table, three_plates

HOSTS = {"a": "10.77.0.1", "b": "10.77.0.2"}
PORT = 29_555


def ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[dict[str, list[str]]]:
    """Command prefixes that run a program on host a or b."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    names = {host: f"campfire-{os.getpid()}-{host}" for host in HOSTS}
    try:
        for host in HOSTS:
            ip("netns", "add", names[host])
            folder = Path("/etc/netns") / names[host]
            folder.mkdir(parents=True)
            # As Debian's installer writes it: the own name is a loopback address.
            (folder / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {os.uname().nodename}\n")
        for first, link in ((True, "mgmt"), (False, "data")):
            # The management network comes first and connects nothing: both hosts have the same address there.
            ip("link", "add", f"{link}0", "netns", names["a"], "type", "veth", "peer", f"{link}0", "netns", names["b"])
            for host, address in HOSTS.items():
                ip("-n", names[host], "addr", "add", "192.168.50.1/24" if first else f"{address}/24", "dev", f"{link}0")
        for name in names.values():
            for link in ("lo", "mgmt0", "data0"):
                ip("-n", name, "link", "set", link, "up")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    else:
        yield {host: ["ip", "netns", "exec", name] for host, name in names.items()}
    finally:
        for name in names.values():
            ip("netns", "del", name, check=False)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)


def test_two_hosts_train_as_one(hosts: dict[str, list[str]], tmp_path: Path) -> None:
    plates, settings = three_plates(tmp_path / "tiles"), options(epochs=1, global_batch=32)
    split_table(PLATES).to_parquet(tmp_path / "wells.parquet")
    run = {
        "options": settings.as_dict(), "plates": list(map(str, plates)), "wells": str(tmp_path / "wells.parquet"),
        "out": str(tmp_path / "two"), "state": str(tmp_path / "state"),
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(run))
    command = [sys.executable, "-m", "campfire", "pretrain", "--config", tmp_path / "run.json", "--processes", "1"]
    place = ["--nodes", "2", "--host", HOSTS["a"], "--port", str(PORT)]
    with open(tmp_path / "log.txt", "w") as log:
        started = [
            subprocess.Popen([*hosts[host], *command, *place, "--node", str(number)], stdout=log, stderr=log)
            for number, host in enumerate(HOSTS)
        ]
        try:
            codes = [process.wait(timeout=180) for process in started]
        finally:
            for process in started:
                process.kill()
                process.wait()
    assert codes == [0, 0], (tmp_path / "log.txt").read_text()[-2000:]
    alone = {**run, "out": str(tmp_path / "one"), "state": str(tmp_path / "state-one")}
    (tmp_path / "alone.json").write_text(json.dumps(alone))
    command[command.index(tmp_path / "run.json")] = tmp_path / "alone.json"
    command[-1] = "2"
    subprocess.run(command, check=True, timeout=180, capture_output=True)
    same_run(tmp_path / "one", tmp_path / "two")


def test_the_interface_is_the_one_that_leads_to_the_other_host(hosts: dict[str, list[str]]) -> None:
    code = "import sys; from campfire.training.network import interface_towards as i; print(i(sys.argv[1], 9))"
    for host, other in (("a", "b"), ("b", "a"), ("a", "a")):
        done = subprocess.run(
            [*hosts[host], sys.executable, "-c", code, HOSTS[other]], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "data0"


def test_a_loopback_address_leads_nowhere() -> None:
    assert addresses().get("127.0.0.1") == "lo"
    assert interface_towards("127.0.0.1", 9) != "lo"
    assert interface_towards("no-such-host.invalid", 9) != "lo"
