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
        ranges: False to ignore Range. etag: False to send none, or another text. length: False to
        send none, or a wrong number. body: other bytes. location: redirect to it. content_range:
        what to call a part. start: where it begins instead.
        delay: seconds before each 4096 bytes. chunked: True.
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
        if how.get("location"):
            handler.send_response(302)
            handler.send_header("Location", how["location"])
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if how.get("status") or body is None:
            handler.send_error(how.get("status", 404))
            return
        tag = '"{}-{}"'.format(len(body), hash(body)) if how.get("etag") is None else how["etag"]
        start = 0
        if wanted and how.get("ranges", True) and handler.headers.get("If-Range") in (None, tag):
            start = int(wanted[len("bytes="):-1])
            if start >= len(body):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header("Content-Range", how.get("content_range", "bytes {}-{}/{}".format(
                start, len(body) - 1, len(body))))
        else:
            handler.send_response(200)
        if tag:
            handler.send_header("ETag", tag)
        if how.get("chunked"):
            handler.send_header("Transfer-Encoding", "chunked")
        elif how.get("length", True) is True:
            handler.send_header("Content-Length", str(len(body) - how.get("start", start)))
        elif how["length"]:
            handler.send_header("Content-Length", str(how["length"]))
        handler.end_headers()
        rest = body[how.get("start", start):]
        rest = rest[:how["cut"]] if "cut" in how else rest
        for i in range(0, len(rest), 4096):
            time.sleep(how.get("delay", 0))
            block = rest[i:i + 4096]
            if how.get("chunked"):
                block = b"%x\r\n%s\r\n" % (len(block), block)
            handler.wfile.write(block)
            self.sent += len(block)
        if how.get("chunked") and "cut" not in how:
            handler.wfile.write(b"0\r\n\r\n")
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

    server = _Server(("127.0.0.1", 0), Handler)
    site.address = "http://127.0.0.1:{}".format(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
