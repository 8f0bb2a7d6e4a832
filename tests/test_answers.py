"""The bundled models give the answers that they gave before the code was rebuilt."""

from __future__ import annotations

import json
import os
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest

from tests.answers import ANSWERS, answer_all, differences

NEAR = 1e-3
"""How far apart probabilities by voice may be."""


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    answers: dict[str, Any] = json.loads(ANSWERS.read_text(encoding="utf-8"))
    return answers


def test_answers_to_the_shipped_recordings_are_unchanged(before: dict[str, Any]) -> None:
    after = answer_all(None)
    assert len(after) == 8
    assert differences({name: before[name] for name in after}, after) == []


def test_onnxruntime_answers_as_torch(before: dict[str, Any]) -> None:
    for name, ours in answer_all(None, "onnx").items():
        theirs = before[name]
        for key in ("timeline", "quality", "sure", "language"):
            assert differences(theirs[key], ours[key], tolerance=NEAR) == []
        assert differences(theirs["modalities"]["audio"], ours["modalities"]["audio"], tolerance=NEAR) == []
        assert max(ours["scores"], key=ours["scores"].get) == max(theirs["scores"], key=theirs["scores"].get)
        # 8-bit numbers may turn a comma, or a word that was a guess before.
        assert SequenceMatcher(None, theirs["words"], ours["words"]).ratio() > 0.7


@pytest.mark.slow
@pytest.mark.corpora
def test_answers_to_the_corpora_are_unchanged(before: dict[str, Any]) -> None:
    assert differences(before, answer_all(Path(os.environ["SER_DATA"]))) == []


def test_a_difference_is_found() -> None:
    one = {"scores": {"happy": 0.5}, "words": "a", "timeline": [{"start": 0.0}]}
    assert differences(one, one) == []
    close = {**one, "scores": {"happy": 0.500001}}
    assert differences(one, close) == []
    for other in ({**one, "scores": {"happy": 0.6}}, {**one, "words": "b"}, {**one, "timeline": []}, {"words": "a"}):
        assert differences(one, other)
