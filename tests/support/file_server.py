"""A small HTTP server on this machine that behaves as badly as a test wants."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves one file at ``/file``.

    Attributes
    ----------
    content : bytes
    tag : str
        ETag; another one says that the file has changed.
    cut_after : list of int
        Bytes after which the connection breaks, a request each; then it holds.
    is_stalled : bool
        Whether it falls silent instead of breaking.
    knows_ranges : bool
    codes : list of int
        Answers other than the file, a request each.
    ranges : list of str
        What was asked for.
    """

    def __init__(self, content):
        self.content = content
        self.tag = '"one"'
        self.cut_after = []
        self.is_stalled = False
        self.knows_ranges = True
        self.codes = []
        self.ranges = []
        self.released = threading.Event()
        self.address = ""


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """Serve as long as the block lasts."""
    server = Server(content)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.address = f"http://127.0.0.1:{http.server_port}/file"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        http.shutdown()
        thread.join()
        http.server_close()


def _handler(server):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range", "")
            server.ranges.append(asked)
            if server.codes:
                self.send_error(server.codes.pop(0))
                return
            start = 0
            is_same = self.headers.get("If-Range") in (None, server.tag)
            if asked and server.knows_ranges and is_same:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                if start >= len(server.content):
                    self.send_error(416)
                    return
            body = server.content[start:]
            self.send_response(206 if start else 200)
            if start:
                last = len(server.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(server.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", server.tag)
            self.end_headers()
            if server.cut_after:
                self.wfile.write(body[: server.cut_after.pop(0)])
                self.wfile.flush()
                if server.is_stalled:
                    server.released.wait(5)
                self.connection.close()
                return
            self.wfile.write(body)

        def log_message(self, *words):
            pass

        def handle_one_request(self):
            try:
                super().handle_one_request()
            except (OSError, ValueError):
                # The connection was broken on purpose.
                self.close_connection = True
                time.sleep(0)

        def finish(self):
            with suppress(OSError, ValueError):
                super().finish()

    return Handler
