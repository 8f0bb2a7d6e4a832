"""A Hugging Face hub on this computer: its API, its redirects to a store of large files, and what goes wrong there."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

LARGE = (".safetensors", ".bin")
"""Files that the hub itself redirects to its store of large files, which answers requests for ranges."""


def commit_of(id: str, number: int = 0) -> str:
    """Return a commit of a repository, 40 hexadecimal digits; 0 is the newest."""
    return hashlib.sha1(f"{id} {number}".encode()).hexdigest()


class Repository:
    """Files of a folder under an id, and their commits, the newest first."""

    def __init__(self, id: str, folder: Path, commits: tuple[str, ...] = ()) -> None:
        self.id, self.folder, self.commits = id, folder, commits or (commit_of(id),)

    def commit(self, revision: str) -> str | None:
        """Return the commit that a branch or commit means; None if there is none."""
        if revision in ("", "main"):
            return self.commits[0]
        return revision if revision in self.commits else None

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file."""
        file = self.folder / name
        return file.read_bytes() if file.is_file() else None

    def tree(self) -> list[dict[str, object]]:
        """Return the list of files as the hub's API has it, large ones with their SHA-256."""
        entries: list[dict[str, object]] = []
        for file in sorted(self.folder.iterdir()):
            data = file.read_bytes()
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            entry: dict[str, object] = {"type": "file", "path": file.name, "size": len(data), "oid": blob}
            if file.suffix in LARGE:
                digest = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
            entries.append(entry)
        return entries


class Hub(ThreadingHTTPServer):
    """Serves repositories; `gated` ids are refused, and the store breaks off each id of `broken` once, half-way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.gated: set[str] = set()
        self.broken: set[str] = set()
        self.asked: list[str] = []
        self.ranges: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """The address that HF_ENDPOINT names."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def store(self) -> str:
        """The store of large files, another host for the hub's library, which follows redirects on its own host."""
        return f"http://localhost:{self.server_port}/store"

    def add(self, id: str, folder: Path, *commits: str) -> Repository:
        """Serve a folder under an id."""
        self.repositories[id] = Repository(id, folder, commits)
        return self.repositories[id]

    def close(self) -> None:
        """Stop; nobody answers at the address any more."""
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        """Answer a request of the API, for a file of a repository, or for one in the store."""
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        if match := re.fullmatch(r"/store/([\w.-]+/[\w.-]+)/(.+)", path):
            self.send_stored(*match.groups(), body)
        elif match := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(?:/(revision|tree)/([^/]+))?", path):
            self.send_description(match[1], match[2] or "revision", match[3] or "main", body)
        elif match := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            self.send_file(*match.groups(), body)
        else:
            self.send(404, {}, b"", body)

    def find(self, id: str, revision: str, body: bool) -> tuple[Repository, str] | None:
        """Return a repository and a commit, or send the hub's own error."""
        repository = self.server.repositories.get(id)
        commit = repository.commit(revision) if repository else None
        if repository and commit and id not in self.server.gated:
            return repository, commit
        status, code = (404, "RevisionNotFound") if repository else (401, "RepoNotFound")
        if id in self.server.gated:
            status, code = 401, "GatedRepo"
        self.send(status, {"X-Error-Code": code, "X-Error-Message": code}, b"{}", body)
        return None

    def send_description(self, id: str, verb: str, revision: str, body: bool) -> None:
        if found := self.find(id, revision, body):
            repository, commit = found
            tree = repository.tree()
            siblings = [{"rfilename": entry["path"]} for entry in tree]
            content = tree if verb == "tree" else {"id": id, "sha": commit, "siblings": siblings}
            self.send(200, {"Content-Type": "application/json"}, json.dumps(content).encode(), body)

    def send_file(self, id: str, revision: str, name: str, body: bool) -> None:
        if not (found := self.find(id, revision, body)):
            return
        repository, commit = found
        headers = {"X-Repo-Commit": commit}
        if (data := repository.read(name)) is None:
            self.send(404, headers | {"X-Error-Code": "EntryNotFound"}, b"", body)
        elif Path(name).suffix in LARGE:
            etag = hashlib.sha256(data).hexdigest()
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
            self.send(302, headers | {"Location": f"{self.server.store}/{id}/{name}"}, b"", body)
        else:
            etag = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            self.send(200, headers | {"ETag": f'"{etag}"'}, data, body)

    def send_stored(self, id: str, name: str, body: bool) -> None:
        data = self.server.repositories[id].read(name) or b""
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if asked:
            self.server.ranges.append(asked)
        headers = {"Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        breaks = id in self.server.broken
        self.server.broken.discard(id)
        self.send(206 if start else 200, headers, data[start:], body, sent=len(data) // 2 if breaks else None)

    def send(self, status: int, headers: dict[str, str], data: bytes, body: bool, sent: int | None = None) -> None:
        """Send a whole answer, or with `sent` only so many of the promised bytes."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data[:sent])
        self.close_connection = self.close_connection or sent is not None

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def point_to(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process take `address` for the hub and `cache` for its cache, as HF_ENDPOINT and HF_HOME would."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
