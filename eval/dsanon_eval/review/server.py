"""``dsanon review``: a page on this machine alone, to look at regions and decide about them.

It listens on 127.0.0.1 only and answers nobody who does not know the random token in its address; a request under
another host's name, or from another page, is refused, so that no web site can reach it through the reviewer's browser.
"""

from __future__ import annotations

import hmac
import json
import secrets
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dsanon.errors import BadImage, DsanonError, UsageError
from dsanon.review import VERDICTS
from dsanon_eval.review.desk import PAGE, Desk

HOST = "127.0.0.1"
_MAX_BODY = 4096  # bytes; a decision has some thirty
_UNDO = "undo"


class ReviewServer(ThreadingHTTPServer):
    """The server of one desk. address: where its page is, token and all."""

    daemon_threads = True

    def __init__(self, desk: Desk, port: int = 0) -> None:
        """port: 0 takes a free one. Raises UsageError where it is taken."""
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"--port {port} cannot be used ({error}): name another one, or none") from error
        self.desk = desk
        self.token = secrets.token_urlsafe(24)
        self.origin = f"http://{HOST}:{self.server_address[1]}"
        self.address = f"{self.origin}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        place = self._place()
        if place is None:
            return
        desk = self.server.desk
        match place.split("/"):
            case [""]:
                query = parse_qs(urlsplit(self.path).query)
                self._page(_number(query.get("page", ["0"])[0], desk.pages))
            case ["crop" | "whole" as what, digits] if (number := _number(digits, len(desk.rows))) is not None:
                try:
                    self._send(HTTPStatus.OK, desk.picture(number, what == "whole"), "image/jpeg")
                except BadImage as error:
                    self._text(HTTPStatus.NOT_FOUND, f"not shown: {error}")
            case _:
                self._text(HTTPStatus.NOT_FOUND, "not here")

    def do_POST(self) -> None:
        place = self._place()
        if place is None:
            return
        if self.headers.get("Origin", self.server.origin) != self.server.origin:
            self.close_connection = True  # the body was not read
            self._text(HTTPStatus.FORBIDDEN, "this page answers itself only")
            return
        length = _number(self.headers.get("Content-Length", ""), _MAX_BODY + 1)
        if place != "decide" or length is None:
            self.close_connection = True  # the body was not read
            self._text(HTTPStatus.NOT_FOUND, "not here")
            return
        form = parse_qs(self.rfile.read(length).decode("utf-8", "replace"))
        desk = self.server.desk
        number = _number(form.get("region", [""])[0], len(desk.rows))
        verdict = form.get("verdict", [""])[0]
        if number is None or verdict not in (*VERDICTS, _UNDO):
            self._text(HTTPStatus.BAD_REQUEST, f"expected a region and a verdict of {', '.join(VERDICTS)}")
            return
        try:
            desk.decide(number, next((known for known in VERDICTS if known == verdict), None))
        except DsanonError as error:
            self._text(HTTPStatus.INTERNAL_SERVER_ERROR, f"not saved: {error}")
            return
        if "application/json" in self.headers.get("Accept", ""):
            state = {"region": number, "verdict": desk.verdict(number), "counts": desk.counts()}
            self._send(HTTPStatus.OK, json.dumps(state).encode(), "application/json")
        else:  # a browser without script
            self._send(HTTPStatus.SEE_OTHER, b"", "text/plain", {"Location": f"./?page={number // PAGE}#r{number}"})

    def _place(self) -> str | None:
        """The path behind the token; None where the request was refused."""
        token, _, place = urlsplit(self.path).path.removeprefix("/").partition("/")
        ours = hmac.compare_digest(token.encode(), self.server.token.encode())
        if not ours or self.headers.get("Host") != urlsplit(self.server.origin).netloc:
            self.close_connection = True
            self._text(HTTPStatus.NOT_FOUND, "not here")
            return None
        return place

    def _page(self, page: int | None) -> None:
        if page is None:
            self._text(HTTPStatus.NOT_FOUND, "there is no such page")
            return
        desk, nonce = self.server.desk, secrets.token_urlsafe(12)
        first = page * PAGE
        html = _template().render(
            desk=desk,
            page=page,
            regions=[(n, desk.rows[n], desk.verdict(n)) for n in range(first, min(first + PAGE, len(desk.rows)))],
            nonce=nonce,
        )
        policy = (
            f"default-src 'none'; img-src 'self' data:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        self._send(HTTPStatus.OK, html.encode("utf-8", "replace"), "text/html", {"Content-Security-Policy": policy})

    def _text(self, status: HTTPStatus, text: str) -> None:
        self._send(status, text.encode(), "text/plain")

    def _send(self, status: HTTPStatus, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8" if kind != "image/jpeg" else kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "dsanon"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the addresses hold the token."""


def _number(text: str, limit: int) -> int | None:
    """A number from 0 to below ``limit``, None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 and int(text) < limit else None


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("dsanon_eval.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("review.html")
