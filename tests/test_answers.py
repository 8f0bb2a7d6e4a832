"""The bundled models give the answers that they gave before the code was rebuilt."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ser_engine.settings import Engine
from tests.answers import ANSWERS, TOLERANCE, answer_all, differences


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    answers: dict[str, Any] = json.loads(ANSWERS.read_text(encoding="utf-8"))
    return answers


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_answers_to_the_shipped_recordings_are_unchanged(before: dict[str, Any], engine: Engine) -> None:
    after = answer_all(None, engine)
    assert len(after) == 8
    assert differences({name: before[name] for name in after}, after, tolerance=TOLERANCE[engine]) == []


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
