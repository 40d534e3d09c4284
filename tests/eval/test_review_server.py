"""The reviewer's page as whoever else is on this machine or on the web may try to use it."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from dsanon_eval.review.desk import Desk, open_desk
from dsanon_eval.review.server import ReviewServer

from dsanon.errors import ReleaseError, UsageError
from dsanon.layout import ReleasePaths
from dsanon.manifest import ManifestRow, write_rows
from dsanon.review import Review, read_review, write_review


@pytest.fixture
def paths(tmp_path: Path) -> ReleasePaths:
    """A release of 30 regions whose one picture is missing."""
    paths = ReleasePaths.of(None, tmp_path / "release")
    (paths.release / "data").mkdir(parents=True)
    paths.private.mkdir()
    box = (0.0, 0.0, 9.0, 9.0)
    rows = [
        ManifestRow("<b>p1</b>", "<b>p1</b>.jpg", "s", "anonymized", i, "face", box, f"s{i}", "mask", "", "", "0" * 64)
        for i in range(30)
    ]
    write_rows(paths.release / "manifest.parquet", rows)
    return paths


@pytest.fixture
def server(paths: ReleasePaths) -> Iterator[ReviewServer]:
    with ReviewServer(Desk(paths)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: ReviewServer, place: str, body: str | None = None, **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if body is None else "POST", place, body, named)
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, dict(answer.getheaders()), text


def test_it_listens_on_this_machine_alone(server: ReviewServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.socket.family == socket.AF_INET


def test_nobody_gets_in_without_the_token_or_under_another_name(server: ReviewServer) -> None:
    token = f"/{server.token}/"
    assert ask(server, token)[0] == 200
    for place in ("/", "/x/", f"/{server.token[:-1]}/", "//", "/%2e%2e/", f"/x{token}"):
        status, headers, text = ask(server, place)
        assert (status, text) == (404, "not here")
        assert server.token not in str(headers)
    assert ask(server, token, Host="evil.example")[0] == 404  # a name that was rebound to this address
    assert ask(server, token + "decide", "region=0&verdict=mask", Origin="http://evil.example")[0] == 403
    assert ask(server, "/decide", "region=0&verdict=mask")[0] == 404
    assert not server.desk.decisions.exists()


def test_the_body_of_a_refused_request_is_no_request(server: ReviewServer) -> None:
    """What another page sends may look like a request of this one."""
    inner = f"GET /{server.token}/ HTTP/1.1\r\nHost: {server.origin.removeprefix('http://')}\r\n\r\n"
    head = f"POST /{server.token}/decide HTTP/1.1\r\nHost: {server.origin.removeprefix('http://')}\r\n"
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=5) as wire:
        wire.sendall(f"{head}Origin: http://evil.example\r\nContent-Length: {len(inner)}\r\n\r\n{inner}".encode())
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 403")
    assert answer.count(b"HTTP/1.1") == 1


def test_decisions_are_on_disk_when_it_answers(server: ReviewServer, paths: ReleasePaths) -> None:
    decide = f"/{server.token}/decide"
    status, _, text = ask(server, decide, "region=1&verdict=mask", Accept="application/json")
    counts = {"accept": 0, "mask": 1, "drop": 0}
    assert (status, json.loads(text)) == (200, {"region": 1, "verdict": "mask", "counts": counts})
    status, headers, _ = ask(server, decide, "region=25&verdict=drop", Origin=server.origin)  # a form, without script
    assert (status, headers["Location"]) == (303, "./?page=1#r25")
    file = paths.private / "review.json"
    assert file.stat().st_mode & 0o077 == 0
    assert [(d.region, d.verdict) for d in read_review(file).decisions] == [(1, "mask"), (25, "drop")]
    ask(server, decide, "region=1&verdict=undo")
    ask(server, decide, "region=25&verdict=accept")
    assert [(d.region, d.verdict) for d in read_review(file).decisions] == [(25, "accept")]
    assert Desk(paths).verdict(25) == "accept"  # a later session goes on from there


@pytest.mark.parametrize("body", ["", "region=30&verdict=mask", "region=-1&verdict=mask", "region=0&verdict=publish"])
def test_other_decisions_are_refused(server: ReviewServer, body: str) -> None:
    assert ask(server, f"/{server.token}/decide", body)[0] == 400
    assert not server.desk.decisions.exists()


def test_other_requests_are_refused(server: ReviewServer) -> None:
    token = f"/{server.token}/"
    for place in ("crop/30", "crop/../../x", "crop/1/2", "crop/", "x", "decide", "?page=2", "?page=x"):
        assert ask(server, token + place)[0] == 404
    status, _, text = ask(server, token + "crop/0")
    assert (status, text.startswith("not shown: ")) == (404, True)
    assert ask(server, token + "decide", "x" * 5000)[0] == 404


def test_pages_escape_names_and_allow_nothing_from_elsewhere(server: ReviewServer) -> None:
    _, headers, text = ask(server, f"/{server.token}/?page=1")
    assert "<b>p1" not in text
    assert "&lt;b&gt;p1" in text
    assert text.count("<li ") == 6
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "http" not in headers["Content-Security-Policy"]


def test_what_cannot_be_reviewed_is_refused(paths: ReleasePaths, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="name a finished release"):
        open_desk(tmp_path / "nothing")
    with pytest.raises(ReleaseError, match="--private"):
        open_desk(paths.release, tmp_path / "nothing.private")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="--port"):
        ReviewServer(Desk(paths), taken.getsockname()[1])
    write_review(paths.private / "review.json", Review("0" * 64))
    with pytest.raises(ReleaseError, match="another state"):
        open_desk(paths.release)


def test_the_queue_is_all_of_the_release(paths: ReleasePaths) -> None:
    rows: list[dict[str, Any]] = pq.read_table(paths.release / "manifest.parquet").to_pylist()
    assert {row["region"] for row in Desk(paths).rows} == {row["region"] for row in rows}


def test_the_command_serves_until_it_is_interrupted(paths: ReleasePaths) -> None:
    command = [sys.executable, "-c", "from dsanon.cli import main; main()", "review", str(paths.release)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().split()[1])
        assert address.hostname == "127.0.0.1"
        connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=10)
        connection.request("POST", f"{address.path}decide", "region=3&verdict=drop")
        assert connection.getresponse().status == 303
        connection.close()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert "0 accept, 0 mask, 1 drop" in out
    assert f"--resume --review {paths.private / 'review.json'}" in out
