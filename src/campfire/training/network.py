"""Which network interface the processes of several nodes should use (Linux)."""

import fcntl
import socket
import struct
from pathlib import Path

SIOCGIFADDR = 0x8915
ROUTES = Path("/proc/net/route")


def addresses() -> dict[str, str]:
    """IPv4 address -> name of the interface that has it, of this host (or network namespace)."""
    found: dict[str, str] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # an interface without an IPv4 address
                continue
            found[socket.inet_ntoa(answer[20:24])] = name
    return found


def source_address(host: str, port: int) -> str:
    """The IPv4 address from which this host reaches `host`; "" where it cannot be resolved or reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, port or 9))  # a datagram socket sends nothing when it connects
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def default_interface() -> str:
    """The interface of the default route, or of the first route that is not the loopback's; "" where there is none."""
    try:
        rows = [line.split() for line in ROUTES.read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return ""
    others = [row for row in rows if row and row[0] != "lo"]
    chosen = [row for row in others if row[1] == "00000000"] or others
    return chosen[0][0] if chosen else ""


def interface_towards(host: str, port: int) -> str:
    """The interface by which this host and `host` reach each other; "" where it is not known.

    By default, gloo and NCCL use the address of the host name, which is a loopback address on many machines, or the
    first interface, which may be a management network.
    """
    address = source_address(host, port)
    name = addresses().get(address, "")
    return name if name and name != "lo" else default_interface()
