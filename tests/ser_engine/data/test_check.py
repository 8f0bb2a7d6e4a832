"""A check finds what is missing, silent, unreadable, there twice or labelled in two ways; real files, made here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ser_engine.cli.main import main
from ser_engine.data import check, manifest
from ser_engine.data.check import CheckReport
from ser_engine.data.check_tables import table
from ser_engine.data.measure import measure_clip
from ser_engine.errors import CorpusError
from ser_engine.labels import LABEL_SETS
from ser_engine.settings import PROJECT, Settings
from tests.ser_engine.data.corpora.trees import tone, touched

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def emodb(tmp_path: Path) -> Path:
    """Six clips, two of which sound alike but are labelled differently, one silent, one broken, one misnamed."""
    wav = tmp_path / "emo-db" / "wav"
    for pitch, name in enumerate(("03a01Wa", "03a02Fa", "08a01Na", "08a02La")):
        tone(wav / f"{name}.wav", seconds=0.5 + pitch / 10, pitch=200 + 10 * pitch)
    tone(wav / "09a01Ta.flac", pitch=200)  # another file, the same sound as the first
    tone(wav / "09a02Ea.wav", level=0)
    tone(wav / "copy" / "03a01Wa.wav", pitch=200)
    tone(wav / "._03a01Wb.wav")
    tone(wav / "hello.wav", pitch=300)
    return tmp_path / "emo-db"


def checked(*roots: Path | str, labels: str = "eight") -> CheckReport:
    return check.check_sources(
        check.find_sources([str(root) for root in roots]), Settings(), LABEL_SETS[labels], workers=1
    )


def test_what_is_there_is_counted_by_label_and_speaker(emodb: Path) -> None:
    (found,) = checked(emodb).sources
    assert found.source.corpus is not None and found.source.corpus.id == "emodb"
    assert (found.clips, len(found.speakers), found.failed) == (6, 3, False)
    assert found.natives == {"W": 1, "F": 1, "N": 1, "L": 1, "T": 1, "E": 1}
    assert found.labels == {"angry": 1, "happy": 1, "neutral": 1, "sad": 1, "disgust": 1, None: 1}
    assert found.seconds == pytest.approx(0.5 + 0.6 + 0.7 + 0.8 + 0.5 + 0.5)
    assert found.sample_rates == {16_000: 6}
    assert [path.name for path in found.silent] == ["09a02Ea.wav"]
    assert [path.parent.name for path in found.repeats] == ["copy"]
    assert [path.name for path, _ in found.strays] == ["hello.wav"]


def test_clips_of_one_sound_with_different_labels_are_found(emodb: Path) -> None:
    (twins,) = checked(emodb).duplicates
    assert [clip.name for clip in twins.clips] == ["03a01Wa", "09a01Ta"]
    assert twins.disagree and twins.speakers == 2


def test_what_cannot_be_read_fails_the_check(emodb: Path) -> None:
    (emodb / "wav" / "10a01Wa.wav").write_bytes(b"RIFF, but no more")
    touched(emodb, "wav/11a01Wa.wav", "wav/12a01Xa.wav")
    result = checked(emodb)
    (found,) = result.sources
    assert result.failed and found.clips == 6
    assert [path.name for path, _ in found.unreadable] == ["10a01Wa.wav", "11a01Wa.wav"]
    assert "empty" in found.unreadable[1][1]
    assert len(found.misnamed) == 1 and "12a01Xa.wav: EMO-DB has no code 'X'." in found.misnamed[0]


def test_clips_that_a_manifest_lists_but_nobody_has_are_counted(emodb: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("path,label,speaker\nemo-db/wav/03a01Wa.wav,angry,ann\ngone.wav,sad,bob\n")
    result = checked(path)
    (found,) = result.sources
    assert (found.clips, found.missing, result.failed) == (1, [tmp_path / "gone.wav"], False)
    path.write_text("path,label,speaker\nemo-db/wav/03a01Wa.wav,angry,ann\ngone.wav,,bob\n")
    result = checked(path)
    assert result.failed and result.sources[0].misnamed == [f"{path}, line 3: there is no label."]


def test_a_folder_of_corpora_is_all_of_them(emodb: Path, tmp_path: Path) -> None:
    tone(tmp_path / "RAVDESS" / "03-01-01-01-01-01-01.wav")
    tone(tmp_path / "notes" / "hello.wav")
    assert [source.name for source in check.find_sources([str(tmp_path)])] == ["ravdess", "emodb"]
    assert len(checked(tmp_path).duplicates) == 1


@pytest.mark.parametrize(
    ("folder", "name", "id"),
    [
        ("clips", "1001_IEO_ANG_HI.wav", "cremad"),
        ("clips", "OAF_back_sad.wav", "tess"),
        ("wav", "F03S02.wav", "shemo"),
        ("data", "F_02_MONIKA_S_1_NEUTRAL_5.wav", "subesco"),
        ("x", "a13 (6).wav", "aesdd"),
    ],
)
def test_a_folder_s_names_tell_whose_it_is(folder: str, name: str, id: str, tmp_path: Path) -> None:
    touched(tmp_path / folder, name)
    (source,) = check.find_sources([str(tmp_path / folder)])
    assert source.name == id


def test_what_is_no_corpus_is_one_sentence(tmp_path: Path) -> None:
    touched(tmp_path / "music", "song.wav")
    touched(tmp_path / "numbers", "03-01-01-01-01-01-01.wav")
    for root, sentence in (
        (str(tmp_path / "music"), r"no reader for .*music: neither"),
        (str(tmp_path / "numbers"), r"could be ravdess or banglaser; say which, as in ravdess=.*numbers\.$"),
        (str(tmp_path / "none"), r"There is no folder .*none\.$"),
        (str(tmp_path / "none.csv"), r"There is no manifest .*none\.csv\.$"),
        (f"msp={tmp_path}", r"no reader for a corpus “msp”"),
    ):
        with pytest.raises(CorpusError, match=sentence):
            check.find_sources([root])
    (source,) = check.find_sources([f"BanglaSER={tmp_path / 'numbers'}"])
    assert source.name == "banglaser"


def test_clips_that_were_cut_to_one_length_are_noticed(tmp_path: Path, capsys: Captured) -> None:
    for number in range(check.SAME_LENGTH_CLIPS):
        tone(tmp_path / "tess" / f"OAF_{'abcdefghijklmnopqrst'[number]}_sad.wav", pitch=100 + number)
    assert checked(tmp_path / "tess").sources[0].all_one_length == 0.5
    tone(tmp_path / "tess" / "OAF_word_sad.wav", seconds=0.6)
    assert checked(tmp_path / "tess").sources[0].all_one_length is None


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_sound_is_measured(rate: int, tmp_path: Path) -> None:
    sound = measure_clip(tone(tmp_path / "a.wav", seconds=1.0, pitch=3000, level=0.5, rate=rate), Settings())
    assert (sound.seconds, sound.sample_rate, sound.problem, sound.silent) == (1.0, rate, "", False)
    assert sound.peak_db == pytest.approx(-6.0, abs=0.1)
    assert sound.bandwidth_hz == pytest.approx(3000, abs=6 * rate / 512)
    assert len(sound.sha256) == 64
    assert measure_clip(tone(tmp_path / "b.wav", level=0.0005), Settings()).silent
    assert not measure_clip(tone(tmp_path / "b.wav", level=0.002), Settings()).silent


def test_the_command_prints_what_was_found_against_what_was_published(emodb: Path, capsys: Captured) -> None:
    assert main(["corpus", "check", str(emodb), "--labels", "sharma", "--workers", "1"]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["W", "angry", "1", "127", "126", "missing"] in lines
    assert ["L", "-", "1", "81", "80", "missing"] in lines
    assert ["corpus", "happy", "sad", "angry", "disgust", "total", "left", "out"] in lines
    assert ["EMO-DB", "1", "1", "1", "1", "4", "2"] in lines
    assert "6 of 535 clips, 3 of 10 speakers" in out
    assert "silent: 1" in out and "present twice, read once: 1" in out
    assert "DIFFERENT LABELS OTHER SPEAKERS emodb/03a01Wa (W) = emodb/09a01Ta (T)" in out


def test_a_manifest_s_splits_have_tables_of_their_own(emodb: Path, tmp_path: Path, capsys: Captured) -> None:
    """As Sharma's tables 1 to 3 tell training, validation and test sets apart."""
    names = {"03a01Wa": "train", "03a02Fa": "train", "08a01Na": "test"}
    lines = [f"emo-db/wav/{name}.wav,{label},ann,{split}" for (name, split), label in zip(
        names.items(), ("anger", "joy", "neutral"), strict=True
    )]  # fmt: skip
    (tmp_path / "own.csv").write_text("\n".join(["path,label,speaker,split", *lines]) + "\n")
    assert main(["corpus", "check", f"mine={tmp_path / 'own.csv'}", "--workers", "1"]) == 0
    out = capsys.readouterr().out
    _, everything, train, test = (part.splitlines() for part in out.split("corpus  "))
    assert [line.split() for line in everything[:2]] == [
        ["neutral", "happy", "angry", "total"], ["mine", "1", "1", "1", "3"],
    ]  # fmt: skip
    assert [line.split() for line in train[:2]] == [["happy", "angry", "total"], ["mine", "1", "1", "2"]]
    assert [line.split() for line in test[:2]] == [["neutral", "total"], ["mine", "1", "1"]]


def test_the_command_ends_with_2_where_something_is_unreadable(emodb: Path, capsys: Captured) -> None:
    touched(emodb, "wav/11a01Wa.wav")
    assert main(["corpus", "check", str(emodb), "--workers", "1"]) == 2
    assert "unreadable: 1" in capsys.readouterr().out
    assert main(["corpus", "check", str(emodb / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    (emodb.parent / "tess").mkdir()
    assert main(["corpus", "check", str(emodb.parent / "tess")]) == 2
    assert "there is no readable clip in it" in capsys.readouterr().out


def test_the_command_lists_all_ten(capsys: Captured) -> None:
    assert main(["corpus", "list"]) == 0
    out = capsys.readouterr().out
    for word in ("ravdess", "BanglaSER", "10039", "Open Database", "islam-groups"):
        assert word in out


def test_a_manifest_is_a_corpus_like_the_folder_it_was_made_of(emodb: Path, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "clips.jsonl"
    assert main(["corpus", "manifest", f"emodb={emodb}", "-o", str(path), "--workers", "1"]) == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 6
    assert rows[0] | {"sha256": "", "bandwidth_hz": 0} == {
        "path": "emo-db/wav/03a01Wa.wav", "label": "angry", "speaker": "emodb/03", "corpus": "emodb", "gender": "male",
        "sentence": "Der Lappen liegt auf dem Eisschrank.", "intensity": None,
        "transcript": "Der Lappen liegt auf dem Eisschrank.", "native": "W", "seconds": 0.5, "sample_rate": 16000,
        "bandwidth_hz": 0, "sha256": "",
    }  # fmt: skip
    folder, listed = checked(emodb), checked(path)
    assert folder.sources[0].labels == listed.sources[0].labels
    assert folder.duplicates == listed.duplicates
    assert [clip.name for clip in manifest.read_manifest(path)] == [Path(row["path"]).stem for row in rows]


def test_a_manifest_leaves_out_what_cannot_be_heard(emodb: Path, tmp_path: Path, capsys: Captured) -> None:
    touched(emodb, "wav/11a01Wa.wav")
    path = tmp_path / "clips.jsonl"
    assert main(["corpus", "manifest", str(emodb), "-o", str(path), "--workers", "1"]) == 2
    assert len(path.read_text().splitlines()) == 6
    assert "11a01Wa.wav: The file is empty" in capsys.readouterr().err


def test_two_processes_find_what_one_finds(emodb: Path) -> None:
    roots = check.find_sources([str(emodb)])
    alone, together = (check.check_sources(roots, Settings(), LABEL_SETS["eight"], workers) for workers in (1, 2))
    assert alone == together


def alive(pid: str) -> bool:
    """Whether a process is there and no zombie, which it stays where nobody asks for its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_no_process_outlives_a_check_that_was_killed(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / "tess").mkdir(exist_ok=True)
        (tmp_path / "tess" / f"OAF_{'abcdefghij'[number % 10] * (number // 10 + 1)}_sad.wav").symlink_to(
            tmp_path / "tone.wav"
        )
    tone(tmp_path / "tone.wav", seconds=20)
    command = [sys.executable, "-m", "ser_engine", "corpus", "check", str(tmp_path / "tess"), "--workers", "2"]
    running = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    workers: list[str] = []
    while running.poll() is None and len(workers) < 2:
        workers = children.read_text().split()
    running.kill()
    running.wait()
    assert len(workers) == 2
    end = time.monotonic() + 60
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < end, "a worker is still there"
        time.sleep(0.1)


def test_tables_put_numbers_to_the_right() -> None:
    assert table(("a", "b"), [("x", "1"), ("yy", "10")]) == "a    b\nx    1\nyy  10"


@pytest.mark.corpora
def test_cremad_s_twins_are_found_in_the_real_clips(ser_data: Path, tmp_path: Path) -> None:
    """Three sounds of CREMA-D are published under two emotions each, and one clip is silent."""
    names = [
        "1006_TIE_HAP_XX", "1006_TIE_NEU_XX", "1013_WSI_DIS_XX", "1013_WSI_SAD_XX", "1017_IWW_ANG_XX",
        "1017_IWW_FEA_XX", "1076_MTI_SAD_XX", "1091_WSI_ANG_XX",
    ]  # fmt: skip
    (tmp_path / "cremad").mkdir()
    for name in names:
        (clip,) = (ser_data / "crema-d").rglob(f"{name}.*")
        (tmp_path / "cremad" / clip.name).symlink_to(clip)
    result = checked(tmp_path / "cremad")
    assert [[clip.name for clip in twins.clips] for twins in result.duplicates] == [names[0:2], names[2:4], names[4:6]]
    assert all(twins.disagree and twins.speakers == 1 for twins in result.duplicates)
    assert [path.stem for path in result.sources[0].silent] == ["1076_MTI_SAD_XX"]
