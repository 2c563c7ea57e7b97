"""A small S3 server with the quirks of other makes: listings, ETags, redirects, web pages, packed bodies."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

XML = {"Content-Type": "application/xml"}


class OddServer:
    """Serves the files below `folder` as one bucket; `quirks` are names of what it does otherwise than S3."""

    def __init__(self, folder: Path, quirks: set[str], page: int) -> None:
        self.folder, self.quirks, self.page = folder, quirks, page
        self.requests: list[str] = []
        owner = self

        class Handler(_Handler):
            server_of = owner

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def etag(self, key: str, body: bytes) -> str:
        return hashlib.md5(key.encode() if "etag" in self.quirks else body).hexdigest()

    def listing(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        keys = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        keys = [key for key in keys if key.startswith(prefix)]
        start = query.get("continuation-token", query.get("start-after", [""]))[0]
        if "ignores token" not in self.quirks:
            keys = [key for key in keys if key > start]
        shown, more = keys[: self.page], len(keys) > self.page
        if "empty pages" in self.quirks:
            shown, more = [], True
        text = f"<IsTruncated>{str(more).lower()}</IsTruncated><EncodingType>url</EncodingType>"
        if more and shown and "no token" not in self.quirks:
            text += f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>"
        for key in shown:
            body = (self.folder / key).read_bytes()
            name = quote(key).replace("%20", "+") if "plus" in self.quirks else quote(key)
            size = "" if "no sizes" in self.quirks else f"<Size>{len(body)}</Size>"
            text += f'<Contents><Key>{name}</Key>{size}<ETag>"{self.etag(key, body)}"</ETag></Contents>'
        return f'<?xml version="1.0"?><ListBucketResult>{text}</ListBucketResult>'.encode()


class _Handler(BaseHTTPRequestHandler):
    server_of: OddServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        odd, parts = self.server_of, urlsplit(self.path)
        odd.requests.append(self.path)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        for quirk, (status, code, headers) in ERRORS.items():
            if quirk in odd.quirks:
                region = "<Region>us-west-2</Region>" if quirk in ("moved", "other region") else ""
                answer = f"<Error><Code>{code}</Code><Message>no</Message>{region}</Error>"
                return self._send(status, answer.encode(), {**XML, **headers})
        if "web page" in odd.quirks:
            return self._send(200, b"<html><body>Log in</body></html>", {"Content-Type": "text/html"})
        if not key:
            return self._send(200, odd.listing(parse_qs(parts.query)), XML)
        path = odd.folder / key
        if not path.is_file():
            return self._send(404, b"<Error><Code>NoSuchKey</Code></Error>", XML)
        body = path.read_bytes()
        headers = {"ETag": f'"{odd.etag(key, body)}"'}
        if "gzip" in odd.quirks:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        return self._send(200, body, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


ERRORS = {
    "moved": (301, "PermanentRedirect", {"x-amz-bucket-region": "us-west-2"}),
    "other region": (400, "AuthorizationHeaderMalformed", {}),
    "bad request": (400, "InvalidRequest", {}),
    "clock": (403, "RequestTimeTooSkewed", {}),
}
"""Quirk to the status, code and headers with which everything is answered."""


@contextmanager
def odd_server(folder: Path, *quirks: str, page: int = 1000) -> Iterator[OddServer]:
    """A running server over `folder`."""
    server = OddServer(folder, set(quirks), page)
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
