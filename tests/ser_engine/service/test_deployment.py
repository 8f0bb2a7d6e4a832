"""docker-compose.yml and deploy/nginx.conf: each line is checked, and a real nginx runs before the service."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import yaml
from websockets.sync.client import connect

from ser_engine.service.config import ServiceSettings
from ser_engine.service.keys import new_key, read_keys
from ser_engine.settings import PROJECT, Settings
from tests.ser_engine.service.conftest import Running, Serve, problem
from tests.ser_engine.service.test_process import free_port
from tests.speech import RATE, speech
from tools.run_dockerfile import stage_instructions

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))
CONFIGURATION = (PROJECT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
KNOWN = {
    "build", "environment", "volumes", "expose", "restart", "secrets", "stop_grace_period", "image", "depends_on",
    "ports",
}  # fmt: skip


def stage(service: str) -> dict[str, list[str]]:
    """Return the instructions of the image that a service of the compose file builds, by name."""
    found: dict[str, list[str]] = {}
    for name, rest in stage_instructions(DOCKERFILE, COMPOSE["services"][service]["build"]["target"]):
        found.setdefault(name, []).append(rest)
    return found


def test_the_file_has_what_compose_knows_and_names_what_is_there() -> None:
    assert COMPOSE.keys() == {"services", "volumes", "secrets"}
    assert COMPOSE["services"].keys() == {"page", "service", "nginx"}
    for name, service in COMPOSE["services"].items():
        assert service.keys() <= KNOWN, name
        assert service["restart"] == "unless-stopped"
        assert ("build" in service) != ("image" in service)
        for volume in service["volumes"]:
            source, target, *_ = volume.split(":")
            assert source in COMPOSE["volumes"] or source.startswith("./")
            assert target.startswith("/")
        assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()
        assert set(service.get("depends_on", ())) <= COMPOSE["services"].keys()


@pytest.mark.parametrize("name", ["page", "service"])
def test_images_are_targets_of_the_dockerfile_with_their_ports_and_volumes(name: str) -> None:
    service, image = COMPOSE["services"][name], stage(name)
    assert service["build"]["context"] == "."
    assert service["expose"] == image["EXPOSE"]
    assert [volume.split(":")[1] for volume in service["volumes"]] == image["VOLUME"]
    # Only nginx is reached from outside.
    assert "ports" not in service


def test_settings_are_settings_of_ours(tmp_path: Path) -> None:
    service = COMPOSE["services"]["service"]
    given = ServiceSettings.from_env(service["environment"])
    assert given.keys_file == f"/run/secrets/{service['secrets'][0]}"
    assert Path(COMPOSE["secrets"]["keys"]["file"]).name == "keys.toml"
    assert float(service["stop_grace_period"].removesuffix("s")) > ServiceSettings().finish_s + 10
    file = tmp_path / "keys.toml"
    new_key("a", str(file))
    assert read_keys(ServiceSettings(keys_file=str(file)))
    assert "STREAMLIT_BROWSER_SERVER_ADDRESS" in COMPOSE["services"]["page"]["environment"]


def test_nginx_gets_this_configuration_and_the_certificate() -> None:
    nginx = COMPOSE["services"]["nginx"]
    mounted = dict(volume.split(":")[:2] for volume in nginx["volumes"])
    assert mounted["./deploy/nginx.conf"] == "/etc/nginx/conf.d/default.conf"
    for kind in ("ssl_certificate", "ssl_certificate_key"):
        (path,) = re.findall(rf"^\s*{kind} +(\S+);", CONFIGURATION, re.MULTILINE)
        assert Path(path).parent == Path(mounted["./certificates"])
    listened = re.findall(r"listen (\d+)", CONFIGURATION)
    assert [port.split(":")[1] for port in nginx["ports"]] == listened
    upstreams = set(re.findall(r"proxy_pass http://(\w+):(\d+);", CONFIGURATION))
    assert upstreams == {(name, COMPOSE["services"][name]["expose"][0]) for name in ("page", "service")}
    assert "client_max_body_size 401m;" in CONFIGURATION and Settings.from_env(max_bytes=400 * 2**20)


@pytest.fixture(scope="module")
def nginx() -> str:
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None or shutil.which("openssl") is None:
        pytest.skip("needs nginx and openssl (apt-get install nginx-light openssl)")
    return path


class Page(BaseHTTPRequestHandler):
    """What stands for the page: it says who asked for what."""

    def do_GET(self) -> None:
        body = f"page {self.path} {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def before(nginx: str, serve: Serve, tmp_path: Path) -> Iterator[tuple[Running, str, int, str]]:
    """Run nginx before a service with a key; yield the service, nginx's address, the port of plain HTTP, the key."""
    secret, lines = new_key("test")
    running = serve(keys=f"test:{lines.split(chr(34))[1]}")
    page = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=page.serve_forever, args=(0.05,), daemon=True).start()
    port, plain = free_port(), free_port()
    certificate = ["-keyout", f"{tmp_path}/ser.key", "-out", f"{tmp_path}/ser.pem", "-subj", "/CN=localhost"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    swaps = {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/ser": str(tmp_path),
        "http://page:8501": f"http://127.0.0.1:{page.server_port}",
        "http://service:8000": f"http://127.0.0.1:{running.port}",
        "client_max_body_size 401m": "client_max_body_size 1m",
    }
    text = CONFIGURATION
    for old, new in swaps.items():
        assert old in text
        text = text.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    (tmp_path / "nginx.conf").write_text(
        f"{user} daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; {paths}\n{text} }}"
    )
    command = [nginx, "-p", str(tmp_path), "-c", f"{tmp_path}/nginx.conf"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command)
    url = f"https://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 15
        while True:
            try:
                httpx2.get(url, verify=False, trust_env=False)
                break
            except httpx2.TransportError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield running, url, plain, secret
    finally:
        process.terminate()
        process.wait(15)
        page.shutdown()
        page.server_close()


def test_a_real_nginx_leads_to_the_page_and_to_the_service(before: tuple[Running, str, int, str], wav: bytes) -> None:
    running, url, plain, secret = before
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx2.Client(base_url=url, verify=False, trust_env=False, timeout=60) as http:
        assert http.get("/anything", headers={"Host": "ser.example.org"}).text == "page /anything ser.example.org"
        # What is for the inside stays there.
        assert http.get("/metrics").text.startswith("page ") and http.get("/healthz").text.startswith("page ")
        answer = http.post("/v1/analyze", content=wav, headers=headers)
        assert answer.status_code == 200 and answer.json()["model"] == "tiny-heads"
        assert problem(http.post("/v1/analyze", content=wav))["type"] == "urn:ser:missing-key"
        assert http.get("/openapi.json").json()["openapi"].startswith("3.1")
        large = http.post("/v1/analyze", content=b"x" * 1_200_000, headers=headers)
        assert large.status_code == 413 and problem(large)["type"] == "urn:ser:too-large"

        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        address = f"{url.replace('https', 'wss')}/v1/live?rate={RATE}&format=f32le&skip=false"
        with connect(address, ssl=context, additional_headers=headers, proxy=None) as socket:
            socket.send(speech().astype(np.dtype("<f4")).tobytes())
            socket.send('{"type": "end"}')
            messages: list[dict[str, Any]] = [json.loads(message) for message in socket]
        assert messages[-1]["type"] == "end" and any(message["type"] == "update" for message in messages)

        moved = httpx2.get(f"http://127.0.0.1:{plain}/v1/models", trust_env=False)
        assert moved.status_code == 301 and moved.headers["location"] == "https://127.0.0.1/v1/models"

        running.stop()
        running.thread.join(15)
        stopped = http.post("/v1/analyze", content=wav, headers=headers)
        assert stopped.status_code == 503 and stopped.headers["retry-after"] == "10"
        assert problem(stopped)["type"] == "urn:ser:stopping"
