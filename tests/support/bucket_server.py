"""A server that speaks as much of S3 as pyarrow needs; it can fail, and answer slowly."""

import threading
import time
import urllib.parse
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

KEY, SECRET = "key-of-the-test", "secret-of-the-test"


class Bucket:
    """What the server holds, and what it has been asked.

    Attributes
    ----------
    objects : dict of str to bytes
        By ``bucket/key``.
    requests : list of str
        Methods, in order.
    failures : int
        So many of the next requests are answered by 503.
    delay_s : float
        Before each answer.
    """

    def __init__(self):
        self.objects, self.uploads, self.requests = {}, {}, []
        self.failures, self.delay_s = 0, 0.0
        self.lock = threading.Lock()
        self.address = ""

    def place(self, key):
        """Address of an object or a folder, as ``analyze`` takes it."""
        host = self.address.partition("://")[2]
        options = f"scheme=http&endpoint_override={urllib.parse.quote(host, safe='')}&region=x"
        return f"s3://{KEY}:{SECRET}@{key}?{options}"


@contextmanager
def bucket_server():
    """Start a server; gives what it holds."""
    bucket = Bucket()
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    bucket.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket = None

    def log_message(self, *_):
        pass

    def _answer(self):
        body = _decoded(self._body(), self.headers)
        split = urllib.parse.urlsplit(self.path)
        key = urllib.parse.unquote(split.path).lstrip("/")
        query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        bucket = self.bucket
        with bucket.lock:
            bucket.requests.append(self.command)
            is_failing = bucket.failures > 0
            bucket.failures -= is_failing
        time.sleep(bucket.delay_s)
        if f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
            return self._send(403, _error("AccessDenied"))
        if is_failing:
            return self._send(503, _error("SlowDown"))
        with bucket.lock:
            return getattr(self, f"_{self.command.lower()}")(key, query, body)

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while length := int(self.rfile.readline(), 16):
            found += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return found

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer  # noqa: N815

    def _get(self, key, query, _):
        if "list-type" in query:
            return self._send(200, self._listing(key, query))
        if key not in self.bucket.objects:
            return self._send(404, _error("NoSuchKey"))
        data = self.bucket.objects[key]
        found = self.headers.get("Range", "")
        if found.startswith("bytes="):
            first, _, last = found[6:].partition("-")
            last = int(last) if last else len(data) - 1
            last = min(last, len(data) - 1)
            extent = f"bytes {first}-{last}/{len(data)}"
            return self._send(206, data[int(first) : last + 1], {"Content-Range": extent})
        return self._send(200, data)

    def _head(self, key, _query, _body):
        if "/" not in key.strip("/"):
            return self._send(200, b"")
        if key not in self.bucket.objects:
            return self._send(404, b"")
        return self._send(200, b"", {"Content-Length": str(len(self.bucket.objects[key]))})

    def _put(self, key, query, body):
        if "uploadId" in query:
            self.bucket.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.bucket.objects[key] = body
        return self._send(200, b"", {"ETag": '"tag"'})

    def _post(self, key, query, body):
        if "uploads" in query:
            name = str(len(self.bucket.uploads))
            self.bucket.uploads[name] = {}
            words = f"<UploadId>{name}</UploadId>"
            return self._send(200, _xml("InitiateMultipartUploadResult", words))
        if "uploadId" in query:
            parts = self.bucket.uploads[query["uploadId"]]
            self.bucket.objects[key] = b"".join(parts[one] for one in sorted(parts))
            return self._send(200, _xml("CompleteMultipartUploadResult", "<ETag>tag</ETag>"))
        return self._send(400, _error("NotImplemented"))

    def _delete(self, key, _query, _body):
        self.bucket.objects.pop(key, None)
        return self._send(204, b"")

    def _listing(self, key, query):
        name = key.strip("/")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        objects, folders = [], set()
        for whole, data in sorted(self.bucket.objects.items()):
            of_bucket, _, path = whole.partition("/")
            if of_bucket != name or not path.startswith(prefix):
                continue
            rest = path[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                objects.append((path, len(data)))
        words = "".join(
            f"<Contents><Key>{escape(path)}</Key><Size>{size}</Size>"
            "<LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
            for path, size in objects
        ) + "".join(
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>"
            for one in sorted(folders)
        )
        count = len(objects) + len(folders)
        head = f"<Name>{name}</Name><KeyCount>{count}</KeyCount><IsTruncated>false</IsTruncated>"
        return _xml("ListBucketResult", head + words)

    def _send(self, status, data, headers=None):
        self.send_response(status)
        headers = {"Content-Length": str(len(data))} | (headers or {})
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _decoded(body, headers):
    """Take a body out of the chunks of the protocol ``aws-chunked``."""
    if "aws-chunked" not in headers.get("Content-Encoding", ""):
        return body
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not length:
            return found
        found, body = found + body[:length], body[length + 2 :]
    return found


def _xml(name, words):
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return (
        f'{head}<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{words}</{name}>'.encode()
    )


def _error(code):
    words = f"<Code>{code}</Code><Message>{code}</Message>"
    return f'<?xml version="1.0" encoding="UTF-8"?><Error>{words}</Error>'.encode()
