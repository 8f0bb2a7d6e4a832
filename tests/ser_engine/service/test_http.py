"""The service as programs use it over HTTP: answers, errors, options."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator

from ser_engine.cli.main import main
from ser_engine.settings import Settings
from tests.ser_engine.service.conftest import Running, Serve, problem, wait_for
from tests.speech import encode, silence, speech, speech_wav, tone

CURL = shutil.which("curl")


def curl(*arguments: str) -> Any:
    """Return the JSON that curl gets."""
    if CURL is None:
        pytest.skip("needs curl")
    done = subprocess.run([CURL, "-sS", "--noproxy", "*", *arguments], capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("seconds", "file")}


def test_an_answer_is_that_of_the_command_line(
    shared: Running,
    tiny: Settings,
    recording: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SER_MODELS_DIR", str(tiny.models_dir))
    options = ["--model", "tiny-heads", "--speakers", "off", "--no-transcript"]
    assert main(["analyze", "--json", *options, str(recording)]) == 0
    expected = json.loads(capsys.readouterr().out)
    raw = curl("--data-binary", f"@{recording}", f"{shared.url}/v1/analyze")
    form = curl("-F", f"file=@{recording}", f"{shared.url}/v1/analyze")
    assert without_times(raw) == without_times(form) == without_times(expected)
    assert list(form) == list(expected) and form["seconds"].keys() == expected["seconds"].keys()
    assert (raw["file"], form["file"]) == ("", recording.name)


def test_options_are_those_of_the_command_line(shared: Running) -> None:
    import numpy as np

    left, right = speech("It is eleven o'clock."), speech("I wonder what this is about.", "woman")
    length = max(len(left), len(right))
    sides = [np.concatenate([side, silence((length - len(side)) / 16_000)])[:length] for side in (left, right)]
    stereo = encode(np.stack(sides, axis=1))
    query = {"channels": "split", "channel_names": "agent,customer", "name": "call"}
    answer = shared.http.post("/v1/analyze", params=query, content=stereo).json()
    assert [each["name"] for each in answer["speakers"]] == ["agent", "customer"] and answer["file"] == "call"
    assert "speakers" not in shared.http.post("/v1/analyze?channels=1", content=stereo).json()


def test_answers_are_as_the_document_says(shared: Running, wav: bytes) -> None:
    document = shared.http.get("/openapi.json").json()
    long = speech_wav("Kids are talking by the door. Dogs are sitting by the door. " * 4)
    answers = [shared.http.post("/v1/analyze", content=sound).json() for sound in (wav, long)]
    assert answers[1]["timeline"]
    for path, method, found in [
        *(("/v1/analyze", "post", answer) for answer in answers),
        ("/v1/models", "get", shared.http.get("/v1/models").json()),
    ]:
        schema = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(found)
        known = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
        assert found.keys() <= known.keys()


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "kind"),
    [
        ("GET", "/nothing", b"", 404, "not-found"),
        ("GET", "/v1/analyze", b"", 405, "method-not-allowed"),
        ("BREW", "/v1/analyze", b"", 405, "method-not-allowed"),
        ("POST", "/v1/analyze", b"", 415, "not-audio"),
        ("POST", "/v1/analyze", b"%PDF-1.7 is no recording " * 9, 415, "not-audio"),
        ("POST", "/v1/analyze", b"RIFF\x00\x00\x00\x00WAVEgarbage", 422, "invalid-audio"),
        ("POST", "/v1/analyze", encode(silence(1.0)), 422, "no-speech"),
        ("POST", "/v1/analyze", encode(tone(1.0)), 422, "no-speech"),
        ("POST", "/v1/analyze?model=../../etc", b"x", 422, "invalid-option"),
        ("POST", "/v1/analyze?model=hf:someone/model", b"x", 422, "invalid-option"),
        ("POST", "/v1/analyze?channels=left", b"x", 422, "invalid-option"),
        ("POST", "/v1/analyze?channel_names=a,a", b"x", 422, "invalid-option"),
        ("POST", "/v1/analyze?speakers=-1", b"x", 422, "invalid-option"),
        ("POST", "/v1/analyze?language=klingon", b"x", 422, "invalid-option"),
        ("POST", "/v1/analyze?track=two", b"x", 422, "invalid-option"),
        ("POST", "/v1/analyze?track=-1", b"x", 422, "invalid-option"),
        ("POST", "/v1/analyze?transcript=perhaps", b"x", 422, "invalid-option"),
        ("POST", "/v1/analyze?modle=x", b"x", 422, "invalid-option"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    method: str, path: str, content: bytes, status: int, kind: str, shared: Running
) -> None:
    answer = shared.http.request(method, path, content=content)
    assert answer.status_code == status
    assert problem(answer)["type"] == f"urn:ser:{kind}"


@pytest.mark.parametrize(
    "parts",
    [
        {"data": {"model": "tiny-heads"}, "files": {"file": ("a.wav", b"x")}},
        {"files": [("file", ("a.wav", b"x")), ("file", ("b.wav", b"x"))]},
        {"content": b"--x\r\nno form", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"no form", "headers": {"Content-Type": "multipart/form-data"}},
        {"data": {"file": "text"}, "files": {}, "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ],
)
def test_a_form_has_one_file_and_nothing_else(parts: dict[str, Any], shared: Running) -> None:
    answer = shared.http.post("/v1/analyze", **parts)
    assert answer.status_code == 400
    problem(answer)


def test_models_are_those_of_the_folder_with_their_labels(shared: Running) -> None:
    (model,) = shared.http.get("/v1/models").json()["models"]
    assert model == {"name": "tiny-heads", "default": True, "labels": ["neutral", "happy", "sad", "angry"]}


def test_health_and_figures(serve: Serve, wav: bytes) -> None:
    running = serve()
    assert running.http.get("/healthz").json() == {"status": "ok"}
    assert running.http.get("/readyz").json() == {"status": "ready"}
    running.http.post("/v1/analyze", content=wav)
    running.http.post("/v1/analyze", content=b"")
    figures = (
        'ser_request_seconds_count{method="POST",route="/v1/analyze",status="200"} 1.0',
        'ser_errors_total{kind="not-audio"} 1.0',
        'ser_audio_seconds_total{interface="analyze"}',
        "ser_queue_length 0.0",
        "ser_analyses_running 0.0",
    )
    wait_for(lambda: all(figure in running.http.get("/metrics").text for figure in figures))
    assert running.metric("ser_audio_seconds_total", interface="analyze") == pytest.approx(2.4, abs=1)


def test_logs_are_json_and_have_nothing_of_a_recording(serve: Serve, recording: Path, wav: bytes) -> None:
    running = serve()
    with recording.open("rb") as file:
        answer = running.http.post("/v1/analyze", files={"file": (recording.name, file)})
    running.http.post("/v1/analyze?model=secret", content=wav)
    done, refused = running.request_logs(2)
    assert done["status"] == 200 and done["route"] == "/v1/analyze" and done["id"] == answer.headers["X-Request-ID"]
    assert done["audio_s"] > 1 and done["model"] == "tiny-heads"
    assert refused["status"] == 422 and refused["problem"] == "invalid-option"
    assert "secret" not in running.logged.getvalue()


def test_a_failure_is_a_sentence_and_its_log_has_no_text_of_it(
    serve: Serve, wav: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = serve()

    def fail(*_: object, **__: object) -> None:
        raise ValueError("secret")

    monkeypatch.setattr(running.service.engines.find(""), "analyze", fail)
    answer = running.http.post("/v1/analyze", content=wav)
    assert answer.status_code == 500 and problem(answer)["type"] == "urn:ser:failed"
    failed = next(entry for entry in running.logs() if entry["event"] == "failed")
    assert failed["exception"] == "builtins.ValueError" and "secret" not in running.logged.getvalue()


def test_web_sites_are_refused_unless_they_are_named(serve: Serve, shared: Running, wav: bytes) -> None:
    site = {"Origin": "https://example.org"}
    refused = shared.http.post("/v1/analyze", content=wav, headers=site)
    assert refused.status_code == 403 and "access-control-allow-origin" not in refused.headers
    assert problem(refused)["type"] == "urn:ser:forbidden"
    running = serve(origins="https://example.org")
    allowed = running.http.post("/v1/analyze", content=wav, headers=site)
    assert allowed.status_code == 200 and allowed.headers["access-control-allow-origin"] == "https://example.org"
    ask = {**site, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "Authorization"}
    assert running.http.options("/v1/analyze", headers=ask).status_code == 200
    assert running.http.post("/v1/analyze", content=wav, headers={"Origin": "https://a.example"}).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "[::1", ""])
def test_without_keys_another_name_of_this_computer_is_refused(host: str, shared: Running) -> None:
    assert shared.http.get("/healthz", headers={"Host": host}).status_code == 403


def test_what_is_not_http_is_refused_in_one_sentence(shared: Running) -> None:
    for sent, status in ((b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000, 431)):
        with shared.connect() as connection:
            connection.sendall(sent)
            connection.shutdown(1)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert json.loads(body)["status"] == status


def test_no_address_leads_to_another_host(shared: Running) -> None:
    assert shared.http.get("/docs").status_code == 404
    assert httpx2.get(f"{shared.url}/openapi.json", trust_env=False).status_code == 200
