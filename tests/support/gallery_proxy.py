"""An HTTP proxy in front of an S3 server that breaks chosen answers, as networks and S3 do."""

import http.client
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)


def _error(code: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'.encode()


ANSWERS = {
    "503": (503, SLOW_DOWN),
    "500": (500, _error("InternalError")),
    "403": (403, _error("AccessDenied")),
    "404": (404, _error("NoSuchKey")),
}


@dataclass
class Fault:
    """Breaks the first `times` answers to each path that contains `match`; `times` None: all of them."""

    kind: str
    match: str
    times: int | None
    seen: Counter[str] = field(default_factory=Counter)


class Proxy:
    """The running proxy: its address, the faults it makes, and the object keys it was asked for."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.delay_s = 0.0
        self.released = threading.Event()
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def fault(self, kind: str, match: str = "", times: int | None = 1) -> None:
        self.faults.append(Fault(kind, match, times))

    def gets(self, suffix: str = "") -> list[str]:
        """Paths of the GETs of objects whose name ends with `suffix`, in order."""
        return [path for method, path in self.requests if method == "GET" and path.endswith(suffix)]

    def choose(self, method: str, path: str) -> str | None:
        with self._lock:
            self.requests.append((method, path))
            for each in self.faults:
                if each.match in path and (each.times is None or each.seen[path] < each.times):
                    each.seen[path] += 1
                    return each.kind
        return None


class _Handler(BaseHTTPRequestHandler):
    owner: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        kind = self.owner.choose(self.command, unquote(urlsplit(self.path).path))
        self.close_connection = True
        if self.owner.delay_s:
            self.owner.released.wait(self.owner.delay_s)
        if kind == "reset":
            self._reset()
        elif kind == "hang":
            self.owner.released.wait(30)
        elif kind in ANSWERS:
            status, body = ANSWERS[kind]
            self._send(status, {"Content-Type": "application/xml", "Content-Length": str(len(body))}, body)
        else:
            self._forward(kind)

    def _reset(self) -> None:
        """Close with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _forward(self, kind: str | None) -> None:
        connection = http.client.HTTPConnection(self.owner.upstream.hostname or "", self.owner.upstream.port)
        connection.request(self.command, self.path, headers=dict(self.headers))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in ("connection", "transfer-encoding")}
        headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        if kind == "empty":
            body, length = b"", "0"
        elif kind == "wrong":
            middle = len(body) // 2
            body = body[:middle] + bytes(255 - byte for byte in body[middle : middle + 16]) + body[middle + 16 :]
        elif kind == "no-etag-wrong":
            headers = {name: value for name, value in headers.items() if name.lower() != "etag"}
            middle = len(body) // 2
            body = body[:middle] + bytes(255 - byte for byte in body[middle : middle + 16]) + body[middle + 16 :]
        elif kind in ("truncate", "hang-body"):
            body = body[: len(body) // 2]
        self._send(answer.status, {**headers, "Content-Length": length}, body)
        if kind == "hang-body":
            self.owner.released.wait(30)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
                self.wfile.flush()
        except OSError:
            pass  # the client has given up on this answer


@contextmanager
def proxy_before(upstream: str) -> Iterator[Proxy]:
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        proxy.server.shutdown()
        proxy.server.server_close()
        thread.join()
