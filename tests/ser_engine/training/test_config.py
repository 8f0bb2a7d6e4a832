"""A TOML file is read as it stands, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from ser_engine.errors import InvalidSettings
from ser_engine.settings import PROJECT
from ser_engine.training.config import config_name, load_config, read_protocols
from ser_engine.training.systems.classical import ClassicalConfig
from ser_engine.training.systems.whisper_statistics import StatisticsConfig

LEAST = 'id = "tiny"\nsystem = "whisper-statistics"\ncorpora = ["ravdess"]\nprotocols = ["speaker-independent"]\n'
CONFIGS = sorted((PROJECT / "configs").glob("*/*.toml"))


def written(folder: Path, text: str) -> Path:
    path = folder / "source" / "run.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_missing_entries_have_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, LEAST)
    config = load_config(path)
    assert config == StatisticsConfig(id="tiny", system="whisper-statistics", corpora=("ravdess",))
    assert config.protocol == "speaker-independent" and config_name(path) == "source/run"


def test_entries_of_a_protocol_take_precedence(tmp_path: Path) -> None:
    text = LEAST.replace('["speaker-independent"]', '["stratified-k-fold", "speaker-independent"]')
    path = written(tmp_path, text + "epochs = 3\n[protocol.speaker-independent]\nsave = true\nepochs = 4\n")
    assert read_protocols(path) == ("stratified-k-fold", "speaker-independent")
    first, second = load_config(path), load_config(path, "speaker-independent")
    assert isinstance(first, StatisticsConfig) and isinstance(second, StatisticsConfig)
    assert (first.protocol, first.save, first.epochs) == ("stratified-k-fold", False, 3)
    assert (second.protocol, second.save, second.epochs) == ("speaker-independent", True, 4)
    with pytest.raises(InvalidSettings, match="has the protocols stratified-k-fold, speaker-independent, not “paper”"):
        load_config(path, "paper")


def test_a_file_extends_another_entry_by_entry(tmp_path: Path) -> None:
    base = written(tmp_path, LEAST + "epochs = 3\nseed = 5\n[protocol.speaker-independent]\nhidden = 8\nsave = true\n")
    middle = base.with_name("middle.toml")
    middle.write_text('extends = "run.toml"\nepochs = 4\n[protocol.speaker-independent]\nhidden = 16\n')
    last = base.with_name("last.toml")
    last.write_text('extends = "middle.toml"\ncorpora = ["tess"]\n')
    config = load_config(last)
    assert isinstance(config, StatisticsConfig)
    assert (config.corpora, config.epochs, config.seed, config.hidden, config.save) == (("tess",), 4, 5, 16, True)
    assert config_name(last) == "source/last" and read_protocols(last) == ("speaker-independent",)
    base.write_text('extends = "last.toml"\n')
    with pytest.raises(InvalidSettings, match=r"last\.toml extends itself\.$"):
        load_config(last)
    base.write_text('extends = "nothing.toml"\n')
    with pytest.raises(InvalidSettings, match=r"no configuration .*nothing\.toml"):
        load_config(last)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_experiments_are_valid(path: Path) -> None:
    for protocol in read_protocols(path):
        config = load_config(path, protocol)
        assert config.protocol == protocol and config.corpora and config.id
        if config.published:
            assert f'id = "{config.published}"' in (PROJECT / "results" / "published.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "protocols is a list of"),
        ('protocols = ["speaker-independent"]', "There is no system “None”"),
        (LEAST.replace('id = "tiny"\n', ""), "the entry “id” is missing"),
        (LEAST.replace("whisper-statistics", "wav2vec"), "There is no system “wav2vec”"),
        (LEAST.replace("speaker-independent", "speaker-known"), "protocols is a list of"),
        (LEAST + 'degradations = ["rain"]', "there is no rain"),
        (LEAST + 'degradations = ["babble"]', "Babble is made of an external corpus"),
        (LEAST + 'degradations = ["crop"]\naugmentation = ["telephone"]', "have to be tested as degradations, too"),
        (LEAST + "projection = 20", "projection is 20"),
        (LEAST + "epoch = 3", "there is no entry “epoch”"),
        (LEAST + "[model]\nhidden = 3", "there is no entry “model”"),
        (LEAST + 'label_set = "nine"', "label_set is 'nine'"),
        (LEAST + 'external = "tess"', "external is 'tess'"),
        (LEAST + "external = [1]", "external"),
        (LEAST + 'external = ["emodb", "emodb"]', "names are repeated"),
        (LEAST.replace('["ravdess"]', "[]"), "corpora"),
        (LEAST + "epochs = 2.5", "epochs is 2.5"),
        (LEAST + 'epochs = "2"', "epochs is '2'"),
        (LEAST + "seed = true", "seed is True"),
        (LEAST + "epochs = 0", "epochs is 0"),
        (LEAST + "batch = -1", "batch is -1"),
        (LEAST + "seed = -1", "seed is -1"),
        (LEAST + "dropout = 1.0", "dropout is 1.0"),
        (LEAST + "learning_rate = 0.0", "learning_rate is 0.0"),
        (LEAST + "learning_rate = nan", "learning_rate is nan"),
        (LEAST + "mixup = inf", "mixup is inf"),
        (LEAST + "label_smoothing = 1.1", "label_smoothing is 1.1"),
        (LEAST + "balance_to = 3", "belong together"),
        (LEAST.replace('["speaker-independent"]', '["paper"]') + "save = true", "set save = false under paper"),
        (LEAST + LEAST, "not valid TOML"),
        ("nonsense", "not valid TOML"),
    ],
)
def test_errors_are_one_sentence_that_names_the_file(text: str, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InvalidSettings) as caught:
        load_config(path)
    sentence = str(caught.value)
    assert reason in sentence
    assert sentence.endswith(".") and "\n" not in sentence
    assert str(path) in sentence or "no system" in sentence


def test_unreadable_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"There is no configuration .*nothing\.toml"):
        load_config(tmp_path / "nothing.toml")
    with pytest.raises(InvalidSettings, match="cannot be read"):
        load_config(tmp_path)
    path = written(tmp_path, "")
    path.write_bytes(b"id = '\xff'")
    with pytest.raises(InvalidSettings, match="not valid TOML"):
        load_config(path)


def test_changes_are_checked_like_entries(tmp_path: Path) -> None:
    path = written(
        tmp_path, LEAST.replace("whisper-statistics", "classical") + 'estimator = "lda"\nfeatures = "acoustic94"'
    )
    config = load_config(path, changes={"features": "acoustic173"})
    assert isinstance(config, ClassicalConfig) and config.features == "acoustic173"
    with pytest.raises(InvalidSettings, match="features is 'mfcc', but it can be acoustic94"):
        load_config(path, changes={"features": "mfcc"})


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ("", "“cross-corpus” and train_corpora belong together"),
        ('train_corpora = ["tess"]', "some of the corpora; the others are tested"),
        ('train_corpora = ["ravdess"]', "some of the corpora; the others are tested"),
    ],
)
def test_across_corpora_needs_some_to_train_on_and_others_to_test(tmp_path: Path, entries: str, reason: str) -> None:
    text = LEAST.replace("speaker-independent", "cross-corpus")
    with pytest.raises(InvalidSettings, match=reason):
        load_config(written(tmp_path, f"{text}{entries}\n"))
    whole = text.replace('["ravdess"]', '["ravdess", "emodb"]') + 'train_corpora = ["emodb"]\n'
    assert load_config(written(tmp_path, whole)).train_corpora == ("emodb",)
    with pytest.raises(InvalidSettings, match="belong together"):
        load_config(written(tmp_path, LEAST + 'train_corpora = ["emodb"]\n'))
