"""Who may ask the server, and what a page from it may do.

A web page of somebody else's that the same browser shows can send requests to a server on this
computer. It is kept out by the name of the host, which such a page cannot choose (DNS rebinding),
by ``Origin``, which the browser sets, and by the token where others can reach the server.
"""

import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
COOKIE: Final = "bloodcells_token"
TOKEN_PARAMETER: Final = "token"
MAX_BODY: Final = 20_000_000
"""Bytes of a request; an event of a large field has some 100,000."""

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
NO_CONTENT: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""Policy of all that is no page."""
_META_POLICY: Final = re.compile(
    rb'<meta http-equiv="Content-Security-Policy" content="([^"<>\r\n]*)"'
)


def policy_of_page(html: bytes) -> str:
    """Give the policy that a page states for itself, and that no other page may frame it.

    A page without one may do nothing.
    """
    found = _META_POLICY.search(html)
    if found is None:
        return NO_CONTENT
    return found[1].decode("ascii", errors="replace") + "; frame-ancestors 'none'"


class Guard:
    """Refuses requests that are not of this page, or not of a person with the token.

    Parameters
    ----------
    app : callable
        What answers the others.
    host : str
        Name or address that the server listens on.
    token : str or None
        None where only this computer reaches the server.
    limits : mapping of str to int
        Bytes that a request may have, by its path, where they are not ``MAX_BODY``.
    """

    def __init__(
        self,
        app: App,
        *,
        host: str,
        port: int,
        token: str | None,
        limits: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.app = app
        self.limits = limits
        self.token = token
        names = LOCAL_NAMES | {host.casefold()}
        self.hosts = {f"[{name}]" if ":" in name else name for name in names}
        # All addresses of the computer: by which name it is reached nobody knows beforehand.
        self.is_open = host in ("0.0.0.0", "::")
        self.port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                headers = [*message["headers"], *_HEADERS]
                if b"content-security-policy" not in given:
                    headers.append((b"content-security-policy", NO_CONTENT.encode()))
                message = {**message, "headers": headers}
            await send(message)

        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        if (refusal := self._refusal(scope, headers)) is not None:
            await _answer(send_guarded, *refusal)
        elif self.token is None or self._has_token(headers):
            await self.app(scope, receive, send_guarded)
        elif self._names_token(scope):
            cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
            # Without the token in its address, so that nobody copies it from there.
            more = ((b"location", b"/"), (b"set-cookie", cookie.encode("ascii")))
            await _answer(send_guarded, 303, "", *more)
        else:
            words = "Open the address with the token that bloodcells review has printed."
            await _answer(send_guarded, 401, words)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 403, "This server answers only under its own name: open the printed address."
        if scope["method"] in ("GET", "HEAD"):
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.casefold() != host.casefold():
            return 403, "Requests of other pages are refused."
        size, most = headers.get("content-length", ""), self.limits.get(scope["path"], MAX_BODY)
        if not size.isdecimal():
            return 411, "The request does not say how long it is; expected Content-Length."
        if int(size) > most:
            return 413, f"The request has {int(size):,} bytes; at most {most:,} are taken."
        return None

    def _is_ours(self, host: str) -> bool:
        name, _, port = host.casefold().rpartition(":")
        if not port.isdecimal() or host.endswith("]"):
            name, port = host.casefold(), "80"
        return self.is_open or (port == str(self.port) and name in self.hosts)

    def _has_token(self, headers: Mapping[str, str]) -> bool:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            try:
                cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
            except CookieError:
                return False
            given = cookie.value if cookie else ""
        return self._is_token(given)

    def _names_token(self, scope: Scope) -> bool:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return scope["method"] == "GET" and self._is_token("".join(query.get(TOKEN_PARAMETER, [])))

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8"), (self.token or "").encode("utf-8"))


async def _answer(send: Send, status: int, words: str, *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps({"detail": words}).encode("ascii")
    length = (b"content-length", str(len(body)).encode())
    kind = (b"content-type", b"application/json")
    start = {"type": "http.response.start", "status": status, "headers": [kind, length, *headers]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
