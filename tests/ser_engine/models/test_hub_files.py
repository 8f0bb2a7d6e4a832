"""Which model "hf:..." means: a folder, what the cache holds, or a hub, here one on this very computer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import transformers as t
from huggingface_hub import constants
from safetensors.torch import load_file

from ser_engine import Analyzer, Settings
from ser_engine.errors import WeightsUnavailable
from ser_engine.models import hub_files, registry
from tests.ser_engine.models.test_hub import CLIPS, checkpoint, edit, load, made, one_sentence
from tests.speech import speech_wav

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "fedcba9876543210fedcba9876543210fedcba98"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _own_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the real hub and its cache alone: nobody listens at the address until a test puts a server there."""
    point_to("http://127.0.0.1:9", monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))


def point_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


# --- which model is meant


def test_a_folder_of_the_models_folder_is_found_by_its_name_and_listed(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name, kind in (("tiny", "wavlm"), ("whispering", "whisper"), ("with@sign", "ast")):
        checkpoint(models / name, kind)
    made("hubert")[0].hubert.save_pretrained(models / "bare")
    t.BertConfig(architectures=["BertForSequenceClassification"]).save_pretrained(models / "bert")
    settings = Settings(models_dir=models)
    assert registry.list_models(settings) == ("tiny", "whispering", "with@sign")
    for name in ("tiny", "hf:tiny", "hf:with@sign"):
        found = registry.find_model(replace(settings, model=name))
        assert found == models / name.removeprefix("hf:")
    with pytest.raises(WeightsUnavailable, match=r"no emotion model “bare”; .* or hf:OWNER/NAME"):
        registry.find_model(replace(settings, model="bare"))
    assert Analyzer(replace(settings, model="hf:tiny")).card() is None


def test_the_list_of_classifiers_is_that_of_transformers() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES

    assert set(MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES.values()) == registry.AUDIO_CLASSIFIERS


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("hf:", "hf: needs an id of the hub or a folder"),
        ("hf:@main", "“@main” is neither a folder nor an id"),
        ("hf:~/nowhere/at/all", "There is no folder ~/nowhere/at/all"),
        ("hf:a/b/c", "There is no folder a/b/c"),
        ("hf:what is this", "“what is this” is neither a folder nor an id of the hub"),
        ("hf:owner/name@v1", "owner/name@v1 is not on this computer: set SER_ALLOW_DOWNLOAD=1"),
    ],
)
def test_words_that_mean_no_model_are_told(model: str, sentence: str) -> None:
    with pytest.raises(WeightsUnavailable, match=sentence) as caught:
        registry.find_model(Settings(model=model))
    one_sentence(caught.value)


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="is a folder, which has no revision “v2”"):
        load(Path(f"{checkpoint(tmp_path / 'tiny')}@v2"))


# --- the hub


class Hub:
    """A hub on this computer, as far as the client asks: one model, in one or two commits."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked, self.error, self.nonsense = folder, [], "", False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                hub.asked.append(self.path)
                status, headers, data = hub.respond(self.path.partition("?")[0])
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if body:
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def respond(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        model = "owner/tiny" if "owner/tiny" in path else "superb/hubert-large-superb-er"
        if self.error:
            return {"GatedRepo": 403}.get(self.error, 404), {"X-Error-Code": self.error}, b"{}"
        kind, _, rest = path.partition(model)
        if not rest:
            return 401, {"X-Error-Code": "RepoNotFound"}, b"{}"
        verb, revision, *name = rest.strip("/").split("/")
        commit = {"main": COMMIT, "v1": OLDER}.get(revision, revision)
        if commit not in (COMMIT, OLDER):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        if kind != "/api/models/":
            data = (self.folder / name[0]).read_bytes()
            return 200, {"X-Repo-Commit": commit, "ETag": f'"{abs(hash(data))}"'}, data
        files = [file for file in sorted(self.folder.iterdir()) if file.is_file()]
        if self.nonsense:
            return 200, {}, b"<html>Please log in to the hotel's network.</html>"
        if verb == "tree":
            tree = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f.name} for f in files]
            return 200, {}, json.dumps(tree).encode()
        return 200, {}, json.dumps({"id": model, "sha": commit, "siblings": []}).encode()

    @property
    def fetched(self) -> set[str]:
        """The names of the files that were asked for."""
        return {path.rpartition("/")[2] for path in self.asked if "/resolve/" in path}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub(checkpoint(tmp_path / "there"))
    (hub.folder / "README.md").write_text("A model.")
    (hub.folder / "training_args.bin").write_bytes(b"no tensors")
    point_to(hub.address, monkeypatch)
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


ALLOWED = Settings(model="hf:owner/tiny", allow_download=True, transcribe=False)


def test_a_model_of_the_hub_is_fetched_once_and_only_what_it_needs(hub: Hub) -> None:
    analysis = Analyzer(ALLOWED).analyze(speech_wav())
    assert analysis.model == f"owner/tiny@{COMMIT[:7]}"
    assert analysis.scores.labels == ("neutral", "happy", "sad", "angry")
    assert hub.fetched == {"config.json", "preprocessor_config.json", "model.safetensors"}
    hub.asked.clear()
    offline = replace(ALLOWED, allow_download=False)
    for settings in (ALLOWED, offline):
        again = Analyzer(settings).analyze(speech_wav())
        assert again.scores.probabilities == pytest.approx(analysis.scores.probabilities)
    assert Analyzer(offline).card() is None
    assert hub.asked == []


def test_a_revision_is_what_was_asked_for(hub: Hub) -> None:
    for revision in ("v1", OLDER):
        model = Analyzer(replace(ALLOWED, model=f"hf:owner/tiny@{revision}")).model
        assert model.id == f"owner/tiny@{OLDER[:7]}"
    assert not any(f"/{COMMIT}/" in path for path in hub.asked)
    with pytest.raises(
        WeightsUnavailable, match=r"owner/tiny@v9 could not be downloaded.*: it has no revision “v9”\.$"
    ):
        registry.find_model(replace(ALLOWED, model="hf:owner/tiny@v9"))


def test_nobody_is_asked_without_permission_or_for_a_card(hub: Hub) -> None:
    with pytest.raises(WeightsUnavailable, match="owner/tiny is not on this computer: set SER_ALLOW_DOWNLOAD=1"):
        registry.find_model(replace(ALLOWED, allow_download=False))
    with pytest.raises(WeightsUnavailable, match="owner/tiny has not been downloaded"):
        Analyzer(ALLOWED).card()
    assert hub.asked == []


def test_a_model_without_safetensors_is_fetched_as_it_is(hub: Hub) -> None:
    tensors = load_file(hub.folder / "model.safetensors")
    (hub.folder / "model.safetensors").unlink()
    torch.save(tensors, hub.folder / "pytorch_model.bin")
    model = Analyzer(ALLOWED).model
    assert hub.fetched == {"config.json", "preprocessor_config.json", "pytorch_model.bin"}
    assert model.predict(CLIPS[:1])[0].scores.labels == model.labels
    hub.asked.clear()
    assert registry.find_model(ALLOWED) and hub.asked == []


def test_a_download_that_was_stopped_is_no_model_and_goes_on(hub: Hub) -> None:
    folder = registry.find_model(ALLOWED)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsUnavailable, match="not on this computer"):
        registry.find_model(replace(ALLOWED, allow_download=False))
    hub.asked.clear()
    assert registry.find_model(ALLOWED) == folder
    assert hub.fetched <= {"model.safetensors"} and (folder / "model.safetensors").is_file()


def test_a_well_known_model_whose_labels_are_numbers_is_known_by_its_id(hub: Hub) -> None:
    edit(hub.folder, id2label={str(i): f"LABEL_{i}" for i in range(4)}, label2id=None)
    model = Analyzer(replace(ALLOWED, model="hf:superb/hubert-large-superb-er")).model
    assert model.labels == ("neutral", "happy", "sad", "angry")
    assert Analyzer(ALLOWED).model.labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("RepoNotFound", r"owner/tiny could not be downloaded from the hub: there is no such model, or it is private"),
        ("GatedRepo", "its owner gives it only to those who accept its terms there and log in with “hf auth login”"),
    ],
)
def test_what_the_hub_refuses_is_told(hub: Hub, error: str, sentence: str) -> None:
    hub.error = error
    with pytest.raises(WeightsUnavailable, match=sentence) as caught:
        registry.find_model(ALLOWED)
    one_sentence(caught.value)


def test_something_else_of_the_hub_is_no_model(hub: Hub) -> None:
    (hub.folder / "model.safetensors").unlink()
    with pytest.raises(WeightsUnavailable, match=r"owner/tiny of the hub has no weights that Transformers can read\.$"):
        registry.find_model(ALLOWED)
    (hub.folder / "config.json").unlink()
    with pytest.raises(WeightsUnavailable, match="not a model of Transformers"):
        registry.find_model(replace(ALLOWED, model="hf:owner/tiny@v1"))


def test_an_answer_that_is_none_of_a_hub_is_told(hub: Hub) -> None:
    hub.nonsense = True
    with pytest.raises(
        WeightsUnavailable, match=r"owner/tiny could not be downloaded from the hub: the transfer failed \("
    ):
        registry.find_model(ALLOWED)


def test_no_network_is_told() -> None:
    with pytest.raises(WeightsUnavailable, match="the hub cannot be reached or does not answer; is this") as caught:
        registry.find_model(ALLOWED)
    one_sentence(caught.value)


def test_a_name_says_where_a_model_is_from(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--superb--wav2vec2-base-superb-er" / "snapshots" / COMMIT
    assert hub_files.id_of(snapshot) == "superb/wav2vec2-base-superb-er@0123456"
    assert hub_files.id_of(tmp_path / "mine") == "mine"
    assert hub_files.id_of(tmp_path / "mine" / "..") == tmp_path.name
