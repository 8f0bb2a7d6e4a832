"""An exported model gives the probabilities of the engine, in onnxruntime alone, and its example runs as written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch

from ser_engine import Settings
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_audio
from ser_engine.audio.quality import normalize_level
from ser_engine.cli.main import main
from ser_engine.data.corpora import registry
from ser_engine.models.registry import find_model, load_answering_model
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_heads import Shape, WhisperHeads, build_member
from tests.speech import RATE, speech, taken_for_speech

NAMES = ("whisper-base-tuned", "whisper-base-heads", "voice-open")
CLOSE = 1e-3
Exported = Callable[[str], Path]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return a function that exports a model, once, and returns the folder."""
    folder = tmp_path_factory.mktemp("exported")

    def export(name: str) -> Path:
        if not (folder / name).is_dir():
            assert main(["export", name, "-o", str(folder / name)]) == 0
        return folder / name

    return export


def run(folder: Path, samples: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"samples": samples.astype(np.float32)})
    return np.asarray(probabilities)


@pytest.mark.parametrize("name", NAMES)
def test_the_probabilities_are_those_of_the_engine(settings: Settings, exported: Exported, name: str) -> None:
    model = load_answering_model(find_model(replace(settings, model=name)), settings)
    said = speech(" ".join(["Kids are talking by the door.", "I wonder what this is about."]))
    # Odd and even numbers of frames, one and several parts of tuned blocks, and all that the encoder has positions for.
    for seconds in (0.3, 1.03, 2.0, 10.06, 23.7, 30.0):
        samples = normalize_level(np.resize(said, round(seconds * RATE)))
        (expected,) = model.predict([taken_for_speech(samples)])
        (found,) = run(exported(name), samples[None])
        assert found == pytest.approx(expected.scores.probabilities, abs=CLOSE)
        assert found.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.corpora
def test_real_clips_get_the_probabilities_of_the_engine(settings: Settings, exported: Exported, ser_data: Path) -> None:
    model = load_answering_model(find_model(replace(settings, model="whisper-base-tuned")), settings)
    for clip in registry.read_corpus("emodb", ser_data)[::100]:
        cleaned = clean_speech(load_audio(clip.path, settings))
        (expected,) = model.predict([cleaned])
        assert run(exported("whisper-base-tuned"), cleaned.samples[None])[0] == pytest.approx(
            expected.scores.probabilities, abs=CLOSE
        )


def test_the_level_and_the_rest_of_a_batch_change_nothing(exported: Exported) -> None:
    clips = [speech(text)[: 2 * RATE] for text in ("Kids are talking by the door.", "Dogs are sitting by the door.")]
    folder = exported("voice-open")
    together = run(folder, np.stack(clips))
    assert np.abs(together[0] - together[1]).max() > CLOSE
    for row, clip in enumerate(clips):
        assert run(folder, clip[None] * 0.01)[0] == pytest.approx(together[row], abs=CLOSE)
    assert np.isfinite(run(folder, np.zeros((1, RATE)))).all()


def test_more_than_the_encoder_has_positions_for_is_refused(exported: Exported) -> None:
    with pytest.raises(Exception, match=r"broadcast|dimension"):
        run(exported("voice-open"), np.zeros((1, 31 * RATE)))


def test_a_trained_model_with_blocks_of_its_own_is_exported(settings: Settings, tmp_path: Path) -> None:
    encoder, labels = shared_whisper(settings).encoder, ("sad", "happy")
    shapes = [Shape(2, blocks=1, hidden=16), Shape(2, hidden=16), Shape(2, hidden=16, mixes=2)]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        members = [build_member(encoder, shape) for shape in shapes]
    WhisperHeads("own", labels, members, shapes, encoder, temperature=0.5).save(tmp_path / "own")
    assert main(["export", str(tmp_path / "own"), "-o", str(tmp_path / "out")]) == 0
    samples = normalize_level(np.resize(speech(), 12 * RATE))
    (expected,) = load_answering_model(tmp_path / "own", settings).predict([taken_for_speech(samples)])
    assert run(tmp_path / "out", samples[None])[0] == pytest.approx(expected.scores.probabilities, abs=CLOSE)
    about = metadata(tmp_path / "out")
    assert about["threshold"] == "0" and about["license"] == "other"
    assert not (tmp_path / "out" / "MODEL_CARD.md").exists()


def metadata(folder: Path) -> dict[str, str]:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return dict(session.get_modelmeta().custom_metadata_map)


def test_the_file_says_what_it_is(settings: Settings, exported: Exported) -> None:
    folder = exported("whisper-base-tuned")
    about, model = metadata(folder), load_answering_model(settings.models_dir / "whisper-base-tuned", settings)
    assert json.loads(about["labels"]) == list(model.labels) and float(about["threshold"]) == model.threshold
    assert about["sampling_rate"] == str(RATE) and about["name"] == model.id
    assert about["license"] == "cc-by-nc-sa-4.0"
    graph = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    assert {node.domain for node in graph.graph.node} == {""}  # standard operators, which other runtimes have, too
    assert not any(tensor.external_data for tensor in graph.graph.initializer)
    readme, card = ((folder / name).read_text() for name in ("README.md", "MODEL_CARD.md"))
    assert "lie detection" in readme and "## Limitations" in readme and "license: cc-by-nc-sa-4.0" in readme
    assert "](../" not in card and (folder / "trained_on.bin").is_file()
    assert "OpenAI" in (folder / "LICENSE-whisper").read_text()


def test_the_example_in_python_runs(
    settings: Settings, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = exported("voice-open")
    example = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / "model.onnx").symlink_to(folder / "model.onnx")
    soundfile.write(tmp_path / "speech.wav", speech(), RATE)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    scope: dict[str, object] = {}
    exec(example[1], scope)
    model = load_answering_model(settings.models_dir / "voice-open", settings)
    samples, _ = soundfile.read(tmp_path / "speech.wav", dtype="float32")
    scores = model.predict([taken_for_speech(normalize_level(samples))])[0].scores
    assert list(scope["answer"].values()) == pytest.approx(scores.probabilities, abs=CLOSE)  # type: ignore[attr-defined]
    assert capsys.readouterr().out.startswith(scores.top if scores.reach(model.threshold) else "not sure")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("voice-and-words", "made of: whisper-base-tuned."),
        ("nowhere", "There is no emotion model “nowhere”"),
        ("tiny-foreign", "cannot be exported (transformers); only"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, sentence: str
) -> None:
    from tests.tiny_models import write_models

    monkeypatch.setenv("SER_MODELS_DIR", str(write_models(tmp_path / "models")))
    capsys.readouterr()
    assert main(["export", name, "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_only_an_earlier_export_is_replaced(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.onnx").write_text("of someone else")
    assert main(["export", "voice-open", "-o", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err and (tmp_path / "model.onnx").read_text() == "of someone else"
    assert main(["export", "voice-open", "-o", str(tmp_path / "model.onnx")]) == 2
    assert "is a file" in capsys.readouterr().err
    folder = exported("voice-open")
    before = (folder / "model.onnx").read_bytes()
    assert main(["export", "voice-open", "-o", str(folder)]) == 0
    assert (folder / "model.onnx").read_bytes() == before
