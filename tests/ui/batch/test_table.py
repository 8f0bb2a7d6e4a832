"""The rows of a batch are filtered and counted as they are."""

from __future__ import annotations

import pandas as pd
import pytest

from ui.batch.table import ALL, FAILED, UNSURE, count_errors, count_labels, select


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": ["one.wav", "two.wav", "three.wav", "four.pdf"],
            "label": ["angry", "sad", "angry", None],
            "sure": [True, False, None, None],
            "transcript": ["Dogs are sitting", None, "Kids (are) talking", None],
            "error": [None, None, None, "This is a PDF document."],
            "error_kind": [None, None, None, "InvalidAudio"],
        }
    )


@pytest.mark.parametrize(
    ("words", "labels", "kind", "found"),
    [
        ("", (), ALL, ["one.wav", "two.wav", "three.wav", "four.pdf"]),
        ("DOGS sitting", (), ALL, ["one.wav"]),
        ("(are)", (), ALL, ["three.wav"]),
        ("pdf", (), ALL, ["four.pdf"]),
        ("", ("angry",), ALL, ["one.wav", "three.wav"]),
        ("two", ("angry",), ALL, []),
        ("", (), UNSURE, ["two.wav"]),
        ("", (), FAILED, ["four.pdf"]),
    ],
)
def test_rows_are_found(rows: pd.DataFrame, words: str, labels: tuple[str, ...], kind: str, found: list[str]) -> None:
    assert list(select(rows, words, labels, kind)["name"]) == found


def test_answers_and_errors_are_counted(rows: pd.DataFrame) -> None:
    assert count_labels(rows, ("angry", "sad", "calm")) == {"angry": (2, 0), "sad": (0, 1), "calm": (0, 0)}
    assert count_errors(rows) == {"InvalidAudio": 1}
