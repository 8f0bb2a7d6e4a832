"""Keys, rates, sizes, time limits, and the queue."""

from __future__ import annotations

import hashlib
import json
import socket
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from ser_engine.cli.main import main
from ser_engine.errors import InvalidSettings
from ser_engine.service.config import ServiceSettings
from ser_engine.service.keys import Key, RateLimit, new_key, read_keys
from tests.ser_engine.service.conftest import Running, Serve, problem, wait_for
from tests.speech import speech_wav

Captured = pytest.CaptureFixture[str]


def keys_file(folder: Path, **more: str) -> tuple[Path, dict[str, str]]:
    """Write a file with a key for each name, and return it with the secrets."""
    path = folder / "keys.toml"
    secrets = {}
    for name, lines in more.items():
        secrets[name], _ = new_key(name, str(path))
        path.write_text(path.read_text() + lines)
    return path, secrets


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


# Keys


def test_a_new_key_is_printed_once_and_only_its_hash_is_stored(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "keys.toml"
    assert main(["serve", "--new-key", "call-center", "--keys", str(path)]) == 0
    secret = capsys.readouterr().out.strip()
    assert len(secret) > 40 and secret not in path.read_text()
    assert hashlib.sha256(secret.encode()).hexdigest() in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert main(["serve", "--new-key", "call-center", "--keys", str(path)]) == 2
    assert "already" in capsys.readouterr().err
    assert main(["serve", "--new-key", "other", "--keys", str(path)]) == 0
    assert [key.name for key in read_keys(ServiceSettings(keys_file=str(path)))] == ["call-center", "other"]


def test_without_keys_another_host_is_refused_in_one_sentence(capsys: Captured) -> None:
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    out, err = capsys.readouterr()
    assert not out and "--new-key" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[a]\n", "sha256"),
        ('[a]\nsha256 = "abc"\n', "64 hexadecimal"),
        ("[a", "no TOML"),
        ('["a b"]\nsha256 = "{}"\n', "letters"),
        ('[a]\nsha256 = "{}"\nper_minutes = 3\n', "per_minutes"),
        ('[a]\nsha256 = "{}"\nmax_mb = 0\n', "above 0"),
        ('[a]\nsha256 = "{}"\n[b]\nsha256 = "{}"\n', "same SHA-256"),
    ],
)
def test_a_file_of_keys_is_checked(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text.replace("{}", "0" * 64))
    with pytest.raises(InvalidSettings, match=reason):
        read_keys(ServiceSettings(keys_file=str(path)))


def test_a_missing_file_of_keys_never_opens_the_service(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        read_keys(ServiceSettings(keys_file=str(tmp_path / "none.toml")))


def test_only_who_has_a_key_is_answered(serve: Serve, wav: bytes) -> None:
    secret, lines = new_key("phone")
    digest = lines.split('"')[1]
    running = serve(keys=f"phone:{digest}")
    for headers in (
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {secret}"},
        bearer(secret + "x"),
        bearer("é"),
    ):
        answer = running.http.post("/v1/analyze", content=wav, headers={k: v.encode() for k, v in headers.items()})
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        problem(answer)
    for path in ("/metrics", "/v1/models", "/nothing"):
        assert running.http.get(path).status_code == 401
    assert running.http.get("/healthz").status_code == running.http.get("/readyz").status_code == 200
    assert running.http.post("/v1/analyze", content=wav, headers=bearer(secret)).status_code == 200
    assert running.request_logs(11)[-1]["key"] == "phone"
    assert secret not in running.logged.getvalue() and digest not in running.logged.getvalue()


def test_each_key_has_limits_of_its_own(serve: Serve, tmp_path: Path, wav: bytes) -> None:
    path, secrets = keys_file(tmp_path, slow="per_minute = 2\n", small="max_mb = 0.05\n", plain="")
    running = serve(keys_file=str(path))
    answers = [running.http.get("/v1/models", headers=bearer(secrets["slow"])) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert problem(answers[2])["detail"].endswith("s.") and 1 <= int(answers[2].headers["retry-after"]) <= 30
    assert len(wav) < 0.05 * 2**20 + 64 * 2**10 < 2 * len(wav)
    twice = {"content": wav * 2, "headers": bearer(secrets["small"])}
    assert running.http.post("/v1/analyze", **twice).status_code == 413
    assert running.http.post("/v1/analyze", content=wav * 2, headers=bearer(secrets["plain"])).status_code == 200


def test_a_rate_is_so_many_a_minute_and_a_burst_of_as_many() -> None:
    now = [0.0]
    limit, key = RateLimit(lambda: now[0]), Key("a", b"", 60)
    assert [limit.take(key) for _ in range(60)] == [0.0] * 60
    assert limit.take(key) == pytest.approx(1.0)
    now[0] = 1.0
    assert limit.take(key) == 0.0 and limit.take(key) > 0


# Sizes


def endless(connection: socket.socket, head: bytes, part: bytes, seconds: float) -> tuple[bytes, int]:
    """Send parts until there is an answer; return it and the bytes that were sent."""
    connection.sendall(head)
    connection.settimeout(0.05)
    answer, sent, begun = b"", 0, time.monotonic()
    while not answer and time.monotonic() - begun < seconds:
        try:
            connection.sendall(part)
            sent += len(part)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = connection.recv(65536)
        except TimeoutError:
            continue
    connection.settimeout(5)
    while b"}" not in answer and (chunk := connection.recv(65536)):
        answer += chunk
    return answer, sent


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(serve: Serve, tiny: object) -> None:
    from dataclasses import replace

    running = serve(settings=replace(tiny, max_bytes=200_000))  # type: ignore[type-var]
    head = b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\n"
    with running.connect() as connection:
        connection.sendall(head + b"Content-Length: 99999999999\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with running.connect() as connection:
        answer, sent = endless(connection, head + b"Transfer-Encoding: chunked\r\n\r\n", chunk, 10)
    assert answer.startswith(b"HTTP/1.1 413 ") and b'"urn:ser:too-large"' in answer
    assert sent < 20 * 65536


def test_other_bodies_are_small(shared: Running) -> None:
    assert shared.http.post("/nothing", content=b"x" * 70_000).status_code == 413


# Time


def test_a_slow_head_and_a_slow_body_are_ended(serve: Serve) -> None:
    running = serve(header_s=0.5, body_s=0.7)
    drip = b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
    for first, status in ((b"POST /v1/ana", b"408"), (drip, b"408"), (drip + b"\r\n", b"408")):
        begun = time.monotonic()
        with running.connect() as connection:
            answer, _ = endless(connection, first, b"x", 8)
        assert answer.startswith(b"HTTP/1.1 " + status), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "urn:ser:too-slow"
        assert time.monotonic() - begun < 5


def test_a_steady_body_may_take_longer(serve: Serve, wav: bytes) -> None:
    running = serve(body_s=0.5)

    def parts():  # type: ignore[no-untyped-def]
        size = len(wav) // 8 + 1
        for first in range(0, len(wav), size):
            time.sleep(0.15)
            yield wav[first : first + size]

    assert running.http.post("/v1/analyze", content=parts()).status_code == 200


# The queue


class Slow:
    """Holds every analysis of a service until `go_on` is set; otherwise the real one."""

    def __init__(self, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        engine = running.service.engines.find("")
        real = engine.analyze

        def analyze(*given, progress, **options):  # type: ignore[no-untyped-def]
            while not self.go_on.wait(0.02):
                progress("clean", None)
            return real(*given, progress=progress, **options)

        monkeypatch.setattr(engine, "analyze", analyze)


def test_beyond_the_queue_the_service_is_busy_and_says_when_to_come_again(
    serve: Serve, wav: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = serve(at_once=1, queue=2)
    slow = Slow(running, monkeypatch)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(running.http.post, "/v1/analyze", content=wav) for _ in range(3)]
        wait_for(lambda: running.service.analyses.queue.waiting == 2)
        refused = running.http.post("/v1/analyze", content=wav)
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert problem(refused)["type"] == "urn:ser:busy"
        assert running.http.get("/readyz").status_code == 503 and running.http.get("/healthz").status_code == 200
        slow.go_on.set()
        assert [each.result().status_code for each in asked] == [200] * 3
    assert running.http.get("/readyz").status_code == 200
    assert running.service.uploads == 0


def test_short_recordings_that_wait_are_computed_together_with_the_same_answers(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = serve(at_once=1, queue=8)
    engine, sizes = running.service.engines.find(""), list[int]()
    real = engine.analyze_batch
    monkeypatch.setattr(engine, "analyze_batch", lambda sources, **o: sizes.append(len(sources)) or real(sources, **o))
    sounds = [speech_wav(text, voice) for text in ("It is eleven o'clock.", "Dogs are sitting by the door.")
              for voice in ("man", "woman")]  # fmt: skip
    expected = [running.http.post("/v1/analyze", content=sound).json() for sound in sounds]
    sounds += [speech_wav("Kids are talking by the door. " * 16), b"RIFF\0\0\0\0WAVEfmt "]
    turn = running.service.analyses.queue.join("another")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(running.http.post, "/v1/analyze", content=sound) for sound in sounds]
        wait_for(lambda: running.service.analyses.queue.waiting == len(sounds))
        turn.leave()
        answers = [each.result() for each in asked]
    assert sum(sizes) == 4 and max(sizes) > 1  # neither the long one nor the damaged one
    assert [answer.status_code for answer in answers] == [200] * 5 + [422]
    for answer, alone in zip(answers, expected, strict=False):
        assert answer.json()["scores"] == pytest.approx(alone["scores"], abs=1e-4)
        assert answer.json()["quality"] == alone["quality"]


def test_an_analysis_ends_when_its_client_has_left(serve: Serve, wav: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    running = serve(at_once=1, queue=4)
    Slow(running, monkeypatch)
    head = b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(wav)
    queue = running.service.analyses.queue
    connections = [running.connect() for _ in range(2)]
    for connection in connections:
        connection.sendall(head + wav)
    wait_for(lambda: (queue.running, queue.waiting) == (1, 1))
    for connection in connections:
        connection.close()
    wait_for(lambda: (queue.running, queue.waiting) == (0, 0))
    assert [entry["status"] for entry in running.request_logs(2)] == [499, 499]
    assert running.metric("ser_cancelled_total") == 2


def test_a_stop_finishes_what_is_under_way(serve: Serve, wav: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    running = serve(at_once=1, queue=4)
    slow = Slow(running, monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(running.http.post, "/v1/analyze", content=wav) for _ in range(3)]
        wait_for(lambda: running.service.analyses.queue.waiting == 2)
        running.stop()
        wait_for(lambda: running.service.stopping)
        time.sleep(0.3)
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{running.url}/healthz", trust_env=False)
        slow.go_on.set()
        assert [each.result().status_code for each in asked] == [200] * 3
    running.thread.join(10)
    assert not running.thread.is_alive()


def test_a_stop_takes_no_longer_than_it_may(serve: Serve, wav: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    running = serve(at_once=1, queue=4, finish_s=0.5)
    Slow(running, monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(running.http.post, "/v1/analyze", content=wav) for _ in range(2)]
        wait_for(lambda: running.service.analyses.queue.waiting == 1)
        running.stop()
        answers = [each.result() for each in asked]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert problem(answers[0])["type"] == "urn:ser:stopping"


def test_many_clients_at_once_are_all_answered_and_nothing_stays_behind(serve: Serve, wav: bytes) -> None:
    running = serve(at_once=2, queue=16)
    before = threading.active_count()

    def ask(_: int) -> int:
        with httpx2.Client(base_url=running.url, timeout=60, trust_env=False) as http:
            answer = http.post("/v1/analyze", content=wav)
        assert answer.status_code == 200 or "retry-after" in answer.headers
        return answer.status_code

    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(ask, range(96)))
    assert set(statuses) <= {200, 503} and statuses.count(200) >= 17
    wait_for(lambda: not running.server.server_state.connections)
    queue = running.service.analyses.queue
    assert (queue.running, queue.waiting, running.service.uploads) == (0, 0, 0)
    assert threading.active_count() <= before + 18
