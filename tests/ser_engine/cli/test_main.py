"""The command line as people and scripts use it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ser_engine.cli.main import main
from ser_engine.labels import EMOTIONS
from ser_engine.models.download_bar import DownloadBar
from ser_engine.settings import PROJECT
from tests.speech import CALM, encode, foreign, speech, speech_wav, tone
from tests.tiny_models import write_foreign, write_heads

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the one who runs the tests has set."""
    for name in [name for name in os.environ if name.startswith("SER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder with two recordings, one of them deeper, and files that are none."""
    folder = tmp_path / "recordings"
    (folder / "deeper" / "folder.wav").mkdir(parents=True)
    (folder / "b.wav").write_bytes(speech_wav())
    (folder / "deeper" / "a.OGG").write_bytes(encode(speech(voice="woman"), container="OGG"))
    (folder / "notes.txt").write_text("no recording")
    return folder


def test_json_has_the_agreed_keys(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "dogs.wav"
    path.write_bytes(speech_wav("Dogs are sitting by the door."))
    assert main(["analyze", "--json", str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    answer = json.loads(out, parse_constant=pytest.fail)  # NaN is no JSON
    assert list(answer) == [
        "file", "model", "scores", "top", "sure", "modalities", "transcript", "unmeasured_languages",
        "model_languages", "timeline", "quality", "baseline_s", "seconds",
    ]  # fmt: skip
    assert answer["file"] == str(path)
    assert set(answer["scores"]) == set(EMOTIONS)
    assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["transcript"]["text"] == "Dogs are sitting by the door."
    assert answer["transcript"]["language"] == "en"
    assert answer["transcript"]["engine"].startswith("whisper-base")
    (segment,) = answer["transcript"]["segments"]
    assert set(segment) == {
        "start", "end", "text", "language", "language_doubtful", "confidence", "top", "sure", "scores",
    }  # fmt: skip
    assert (segment["top"], segment["scores"]) == (answer["top"], answer["scores"])
    quality = answer["quality"]
    assert {"duration_s", "speech_s", "sample_rate", "snr_db", "clipping", "warnings"} <= set(quality)
    assert quality["sample_rate"] == 16_000
    assert 1.5 < quality["speech_s"] < quality["duration_s"] < 4
    assert set(answer["seconds"]) == {"decode", "clean", "transcribe", "classify", "total"}


def test_json_has_an_explanation_where_one_is_asked_for(recordings: Path, capsys: Captured) -> None:
    assert main(["analyze", "--json", "--explain", "--no-transcript", str(recordings / "b.wav")]) == 0
    answer = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert answer["explanation"]["label"] == answer["top"]
    assert all({"start", "end", "weight"} == set(moment) for moment in answer["explanation"]["moments"])
    assert set(answer["explanation"]["voice"]) >= {"pitch_hz", "syllables_per_s"}


def test_json_has_times_of_words_where_they_are_asked_for(recordings: Path, capsys: Captured) -> None:
    assert main(["analyze", "--json", "--words", str(recordings / "b.wav")]) == 0
    (segment,) = json.loads(capsys.readouterr().out)["transcript"]["segments"]
    assert [word["text"] for word in segment["words"]] == segment["text"].split()
    assert all({"start", "end", "text", "confidence"} == set(word) for word in segment["words"])


def test_sentences_are_exported_to_a_file_or_a_folder(
    recordings: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, out = str(recordings / "b.wav"), tmp_path / "out"
    assert main(["analyze", one, "--export", "csv", "-o", "table.csv"]) == 0
    assert "Dogs are sitting" in (tmp_path / "table.csv").read_text(encoding="utf-8-sig")
    assert main(["analyze", one, "--export", "textgrid"]) == 0
    assert '"sitting"' in (tmp_path / "b.TextGrid").read_text(encoding="utf-8")  # words have times
    assert main(["analyze", "--no-transcript", str(recordings), "--export", "srt", "-o", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.srt", "b.srt"]
    assert capsys.readouterr().err == "Skipped 1 file: 1 not audio.\n"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--export", "csv", "-o", "taken.csv"], "is a file"),
        (["twin/b.wav", "--export", "csv"], "2 recordings would be written to b.csv"),
        (["-o", "table.csv"], "--output needs --export"),
    ],
)
def test_an_export_that_would_lose_something_is_refused_before_any_work(
    options: list[str], reason: str, recordings: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.csv").write_text("mine")
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "b.wav").write_bytes(b"")
    assert main(["analyze", str(recordings), *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and reason in err and len(err.splitlines()) == 1
    assert (tmp_path / "taken.csv").read_text() == "mine"


def test_a_folder_gives_one_line_for_each_recording_in_it(recordings: Path, capsys: Captured) -> None:
    assert main(["analyze", "--json", "--no-transcript", str(recordings)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["file"] for answer in answers] == [
        str(recordings / "b.wav"),
        str(recordings / "deeper" / "a.OGG"),
    ]
    assert [answer["transcript"] for answer in answers] == [None, None]
    assert [answer["timeline"] for answer in answers] == [[], []]


def test_the_table_says_the_same(recordings: Path, capsys: Captured) -> None:
    assert main(["analyze", "--json", "--no-transcript", str(recordings / "b.wav")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert main(["analyze", str(recordings / "b.wav")]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "emotion", "prob.", "sec.", "transcript"]
    name, emotion, probability, seconds, words = row[:40].strip(), *row[40:].split(maxsplit=3)
    assert str(recordings / "b.wav").endswith(name.lstrip("…"))
    # A question mark stands where the model says that it is not sure.
    assert emotion == answer["top"] + "?" * (answer["sure"] is False)
    assert float(probability) == pytest.approx(answer["scores"][answer["top"]], abs=0.006)
    assert float(seconds) == pytest.approx(answer["quality"]["duration_s"], abs=0.06)
    assert words == "Dogs are sitting by the door."
    assert head.index("transcript") == row.index("Dogs")


def test_bad_files_are_told_and_good_ones_answered(recordings: Path, capsys: Captured) -> None:
    (recordings / "a.wav").write_bytes(encode(tone(2)))
    (recordings / "c.wav").write_text("no recording at all")
    missing = recordings / "nothing.wav"
    assert main(["analyze", "--no-transcript", str(missing), str(recordings)]) == 2
    out, err = capsys.readouterr()
    *lines, skipped = err.splitlines()
    assert skipped == "Skipped 1 file: 1 not audio."
    reasons = dict(line.split(": ", 1) for line in lines)
    assert set(reasons) == {str(missing), str(recordings / "a.wav"), str(recordings / "c.wav")}
    assert "no file" in reasons[str(missing)]
    assert "No speech" in reasons[str(recordings / "a.wav")]
    assert "text document" in reasons[str(recordings / "c.wav")]
    assert len(out.splitlines()) == 3  # the head of the table and two rows


def test_a_file_that_is_named_is_taken_whatever_its_suffix(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "voice.recording"
    path.write_bytes(speech_wav())
    assert main(["analyze", "--json", "--no-transcript", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(path)


def test_a_folder_without_recordings_is_told(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "notes.txt").write_text("no recording")
    assert main(["analyze", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


def test_a_calm_voice_to_compare_with_can_be_given(recordings: Path, tmp_path: Path, capsys: Captured) -> None:
    write_heads(tmp_path / "models")
    calm, path = tmp_path / "calm.wav", str(recordings / "b.wav")
    calm.write_bytes(speech_wav(CALM))
    model = ["--model", str(tmp_path / "models" / "tiny-heads")]
    analyze = ["analyze", "--json", "--no-transcript", *model, path]
    assert main(analyze) == 0 and main([*analyze, "--baseline", str(calm)]) == 0
    plain, related = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert plain["baseline_s"] is None and related["baseline_s"] > 5
    assert plain["scores"] != pytest.approx(related["scores"], abs=1e-3)
    live = ["live", "--json", "--hop", "1", *model, path]
    assert main(live) == 0 and main([*live, "--baseline", str(calm)]) == 0
    updates = [json.loads(line)["scores"] for line in capsys.readouterr().out.splitlines()]
    plain, related = updates[: len(updates) // 2], updates[len(updates) // 2 :]
    assert any(plain) and [score is None for score in plain] == [score is None for score in related]
    assert all(one != pytest.approx(other, abs=1e-3) for one, other in zip(plain, related, strict=True) if one)


@pytest.mark.parametrize("command", ["analyze", "live"])
def test_a_calm_voice_that_cannot_be_used_is_told(
    command: str, recordings: Path, tmp_path: Path, capsys: Captured
) -> None:
    write_heads(tmp_path / "models")
    path = str(recordings / "b.wav")
    model = ["--model", str(tmp_path / "models" / "tiny-heads")]
    missing, damaged = tmp_path / "nothing.wav", tmp_path / "damaged.wav"
    damaged.write_text("no recording at all")
    for calm, said in ((path, "at least 15 s"), (str(missing), "no file"), (str(damaged), "text document")):
        assert main([command, *model, path, "--baseline", calm]) == 2
        out, err = capsys.readouterr()
        (line,) = err.splitlines()
        assert out == "" and line.startswith(f"{calm}: ") and said in line
    write_foreign(tmp_path / "models" / "tiny-foreign")
    capsys.readouterr()  # what Transformers said while it wrote
    assert main([command, "--model", str(tmp_path / "models" / "tiny-foreign"), path, "--baseline", path]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be calibrated" in line and "tiny-foreign" in line


def test_a_model_is_chosen_by_its_folder(recordings: Path, tmp_path: Path, capsys: Captured) -> None:
    name = (PROJECT / "models" / "DEFAULT").read_text(encoding="utf-8").strip()
    other = tmp_path / "other"
    shutil.copytree(PROJECT / "models" / name, other)
    config = json.loads((other / "config.json").read_text(encoding="utf-8"))
    config["id"] = "the-other-one"
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for model, expected in ((name, config["id"]), (str(other), "the-other-one")):
        arguments = ["analyze", "--json", "--no-transcript", "--model", model, str(recordings / "b.wav")]
        assert main(arguments) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["model"] == (name if model == name else expected)


def test_a_model_that_is_not_there_is_told_once(recordings: Path, capsys: Captured) -> None:
    assert main(["analyze", "--model", "oracle", str(recordings)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert "oracle" in line
    assert "voice-open, whisper-base-heads, whisper-base-tuned" in line


def test_a_setting_that_means_nothing_is_told(
    recordings: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SER_MAX_SECONDS", "long")
    assert main(["analyze", str(recordings)]) == 2
    assert capsys.readouterr().err == "SER_MAX_SECONDS should be a number, not “long”.\n"


def test_the_environment_can_leave_the_words_out(
    recordings: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SER_TRANSCRIBE", "no")
    assert main(["analyze", "--json", str(recordings / "b.wav")]) == 0
    assert json.loads(capsys.readouterr().out)["transcript"] is None


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such file names")
def test_a_file_name_that_is_no_text_comes_back(tmp_path: Path, capsys: Captured) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.wav")  # noqa: PTH118 (a Path has no bytes)
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(speech_wav())
    assert main(["analyze", "--json", "--no-transcript", os.fsdecode(path)]) == 0
    assert os.fsencode(json.loads(capsys.readouterr().out)["file"]) == path


def test_as_a_program(tmp_path: Path) -> None:
    done = run("analyze", str(tmp_path / "nothing.wav"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no file" in line
    assert run("sing").returncode == 2
    help_ = run("--help")
    assert help_.returncode == 0
    assert {"analyze", "train", "evaluate"} <= set(help_.stdout.split())


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ser_engine", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, encoding="utf-8", timeout=100)


@pytest.mark.parametrize("text", ["", 'id = "x"', "nonsense = 1", "\0"])
def test_a_training_configuration_that_means_nothing_is_told(text: str, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert main(["train", str(path), "--data", str(tmp_path), "--results", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line


def test_training_without_corpora_is_told(tmp_path: Path, capsys: Captured) -> None:
    config = PROJECT / "configs" / "ours" / "whisper-statistics.toml"
    assert main(["train", str(config), "--data", str(tmp_path), "--results", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "RAVDESS" in line


def test_a_download_has_a_bar(capsys: Captured) -> None:
    show = DownloadBar()
    for done in (0, 1024, 2048):
        show(done, 2048)
    assert "2.00k/2.00k" in capsys.readouterr().err


def test_a_language_can_be_given_and_one_that_was_not_measured_is_named_below_the_row(
    tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "french.wav"
    path.write_bytes(encode(foreign("fr")))
    assert main(["analyze", str(path)]) == 0
    assert "  The emotion model was never measured on French." in capsys.readouterr().out
    path.write_bytes(encode(foreign("de")))
    assert main(["analyze", "--language", "de", "--json", str(path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["transcript"]["languages"] == ["de"] and answer["unmeasured_languages"] == []
    assert main(["analyze", "--language", "xx", str(path)]) == 2
    assert "“xx”" in capsys.readouterr().err
