"""The page closed by Streamlit's login, against a small OpenID Connect provider on this computer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.pages import Server, free_port, settle

pytestmark = pytest.mark.browser

CLIENT, SECRET = "ser", "a secret of the provider"


@dataclass
class Provider:
    """A provider that lets everyone in as `email`, without asking."""

    url: str = ""
    email: str = "ada@example.org"
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"}))
    nonces: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def token(self, code: str) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "sub": "1815", "iat": now, "exp": now + 600}
        claims |= {"email": self.email, "email_verified": True, "nonce": self.nonces.pop(code)}
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)
        return {"access_token": "none", "token_type": "Bearer", "expires_in": 600, "id_token": signed}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    found = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            found.asked.append(address.path)
            if address.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(address.query).items()}
                code = str(len(found.asked))
                found.nonces[code] = query["nonce"]
                self.send_response(302)
                back = urlencode({"code": code, "state": query["state"]})
                self.send_header("Location", f"{query['redirect_uri']}?{back}")
                self.end_headers()
            elif address.path == "/keys":
                self.answer({"keys": [found.key.as_dict(private=False)]})
            else:
                self.answer(found.metadata())

        def do_POST(self) -> None:
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.answer(found.token(body["code"][0]))

        def answer(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def closed(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page with a login for one domain."""
    folder, port = tmp_path_factory.mktemp("login"), free_port()
    secrets = folder / "secrets.toml"
    secrets.write_text(
        f"""[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
server_metadata_url = "{provider.url}/.well-known/openid-configuration"

[access]
domains = ["example.org"]
"""
    )
    server = Server("app.py", folder / "log.txt", {"STREAMLIT_SECRETS_FILES": str(secrets)}, port=port)
    server.wait()
    yield server
    server.stop()


def open_page(page: Page, server: Server, path: str = "") -> Page:
    page.goto(f"{server.url}/{path}")
    expect(page.get_by_test_id("stApp")).to_be_visible(timeout=60_000)
    return page


@pytest.mark.parametrize("path", ["", "live", "results", "about", "listen"])
def test_nothing_is_shown_before_the_login(path: str, new_page: NewPage, closed: Server) -> None:
    page = open_page(new_page(), closed, path)
    expect(page.get_by_role("heading", name="Log in to use this page")).to_be_visible(timeout=60_000)
    settle(page)
    assert page.locator("input[type=file]").count() == 0
    assert page.get_by_role("link", name="Results").count() == 0


def test_who_logs_in_uses_the_page_until_the_logout(new_page: NewPage, closed: Server, provider: Provider) -> None:
    provider.email = "ada@example.org"
    page = open_page(new_page(), closed)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("input[type=file]").first).to_be_attached(timeout=60_000)
    expect(page.get_by_text("Logged in as ada@example.org.")).to_be_visible()
    assert {"/authorize", "/keys"} <= set(provider.asked) and not provider.nonces
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in to use this page")).to_be_visible(timeout=60_000)


def test_an_account_of_another_domain_is_not_let_in(new_page: NewPage, closed: Server, provider: Provider) -> None:
    provider.email = "eve@example.com"
    page = open_page(new_page(), closed)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="eve@example.com may not use this page")).to_be_visible(timeout=60_000)
    settle(page)
    assert page.locator("input[type=file]").count() == 0


def test_a_damaged_file_of_secrets_lets_nobody_in(new_page: NewPage, tmp_path: Path) -> None:
    (tmp_path / "secrets.toml").write_text("[auth\n")
    server = Server("app.py", tmp_path / "log.txt", {"STREAMLIT_SECRETS_FILES": str(tmp_path / "secrets.toml")})
    try:
        server.wait()
        page = open_page(new_page(), server)
        expect(page.get_by_text("nobody is let in")).to_be_visible(timeout=60_000)
        assert page.locator("input[type=file]").count() == 0
    finally:
        server.stop()
