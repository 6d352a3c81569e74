"""A web server on this machine that answers as badly as a test asks it to."""

import contextlib
import http.server
import threading
import time

from tqdm import tqdm

from data import download

tqdm.set_lock(threading.RLock())  # its own is shared with forks, and a killed one would keep it


class Site:
    """files: dict from path ("/a.zip") to bytes.

    behaviour: function (path, number of the request for it, from 0) -> dict of what to do:
        status: an error to answer with. cut: close the connection after so many bytes of the body.
        ranges: False to ignore Range; etag: the text to send, or "" for none. length: False to send
        none, or a wrong number. body: other bytes. location: redirect to it. content_range: what to
        call a part. start: where it begins instead. delay: seconds before each 4096 bytes.
        encoding: what to say that the body is packed by.
    asked: list of (path, Range header or None), in the order of the requests.
    """

    def __init__(self, files, behaviour=lambda path, number: {}):
        self.files, self.behaviour, self.asked = files, behaviour, []
        self.sent = 0  # bytes of bodies
        self.address = None

    def answer(self, handler):
        number = sum(path == handler.path for path, _ in self.asked)
        wanted = handler.headers.get("Range")
        self.asked.append((handler.path, wanted))
        how = self.behaviour(handler.path, number)
        body = how.get("body", self.files.get(handler.path))
        status, headers, start = 200, {}, 0
        if how.get("location"):
            status, body = 302, b""
            headers["Location"] = how["location"]
        elif how.get("status") or body is None:
            return handler.send_error(how.get("status", 404))
        headers["ETag"] = how.get("etag", f'"{len(body)}-{hash(body)}"')
        if wanted and how.get("ranges", True) and (
                handler.headers.get("If-Range") in (None, headers["ETag"])):
            status, start = 206, int(wanted[len("bytes="):-1])
            if start >= len(body):
                return handler.send_error(416)
            headers["Content-Range"] = how.get(
                "content_range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        rest = body[how.get("start", start):]
        headers["Content-Encoding"] = how.get("encoding")
        headers["Content-Length"] = str(how.get("length", len(rest)) or "")
        handler.send_response(status)
        for name, value in headers.items():
            if value:
                handler.send_header(name, value)
        handler.end_headers()
        rest = rest[:how.get("cut", len(rest))]
        for i in range(0, len(rest), 4096):
            time.sleep(how.get("delay", 0))
            handler.wfile.write(rest[i:i + 4096])
            self.sent += len(rest[i:i + 4096])
        handler.close_connection = True


def allow(monkeypatch):
    """Let data.download load from this machine without https, and wait for nothing."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download.RETRY, "backoff_factor", 0.001)
    monkeypatch.setitem(download.SESSION.adapters, "http://127.0.0.1:",
                        download.SESSION.adapters["https://"])


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that was killed


@contextlib.contextmanager
def serving(site):
    """Serve `site` at site.address while the block runs."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            site.answer(self)

        def log_message(self, *_):
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        site.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
