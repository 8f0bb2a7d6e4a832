"""The columns of the two datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ser_engine.types import STAGES

if TYPE_CHECKING:
    import pyarrow as pa

CLASH = "manifest_"
"""What goes before a column of a manifest that has the name of one of ours."""

OWN = frozenset(
    (
        "file", "size_bytes", "modified", "etag", "sha256", "label", "confidence", "sure", "probabilities",
        "transcript", "language", "languages", "speakers", "duration_s", "speech_s", "sample_rate", "bandwidth_hz",
        "snr_db", "clipping", "level_db", "noise_reduced", "warnings", "voice_kinds", "container", "codec",
        "channels", "seconds", "analyzed", "error_kind", "error",
    )
)  # fmt: skip
"""The columns of `recordings` before those of manifests."""


def recordings_schema(labels: Sequence[str], columns: Sequence[str] = ()) -> pa.Schema:
    """Return the columns of `recordings`, one row a recording.

    Columns
    -------
    file : address of the recording, by which a row is known; absolute if it is local
    size_bytes, modified, etag : of the file that was analyzed, None where its store does not say
    sha256 : its checksum
    label, confidence, sure, probabilities : the most probable emotion, its probability, whether the model is sure
        (None where it never abstains), and the probabilities of all; None where there is no answer
    transcript, language, languages : None without transcription; the languages with that of most of the speech first
    speakers : one for each of several speakers, with the channel (from 1, None where several share one) and the share
        (0 to 1) of the talking time
    duration_s ... voice_kinds : as of `types.Quality`
    container, codec, channels : of the file
    seconds : what each stage took
    analyzed : when
    error_kind, error : the class of the error and its sentence; None where there is an answer

    `columns` of manifests follow, as text.
    """
    import pyarrow as pa

    scores = [("label", pa.string()), ("confidence", pa.float32()), ("sure", pa.bool_())]
    probabilities = ("probabilities", probabilities_type(labels))
    speaker = pa.struct(
        [("name", pa.string()), ("channel", pa.int32()), ("share", pa.float32()), *scores, probabilities]
    )
    seconds = pa.struct([(stage, pa.float32()) for stage in (*STAGES, "total")])
    moment = pa.timestamp("us", "UTC")
    own = [
        pa.field("file", pa.string(), nullable=False),
        ("size_bytes", pa.int64()), ("modified", moment), ("etag", pa.string()), ("sha256", pa.string()),
        *scores, probabilities,
        ("transcript", pa.string()), ("language", pa.string()), ("languages", pa.list_(pa.string())),
        ("speakers", pa.list_(speaker)),
        ("duration_s", pa.float64()), ("speech_s", pa.float64()), ("sample_rate", pa.int32()),
        ("bandwidth_hz", pa.float32()), ("snr_db", pa.float32()), ("clipping", pa.float32()),
        ("level_db", pa.float32()), ("noise_reduced", pa.bool_()),
        ("warnings", pa.list_(pa.string())), ("voice_kinds", pa.list_(pa.string())),
        ("container", pa.string()), ("codec", pa.string()), ("channels", pa.int32()),
        ("seconds", seconds), ("analyzed", moment), ("error_kind", pa.string()), ("error", pa.string()),
    ]  # fmt: skip
    return pa.schema([*own, *((name, pa.string()) for name in names_of_columns(columns).values())])


def names_of_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return {column of a manifest: its name in `recordings`}, which is not that of one of ours."""
    return {name: f"{CLASH}{name}" if name in OWN else name for name in columns}


def rename_columns(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """Return a row of `rows.outcome_of` with the columns of its manifest among the others."""
    extra = row["extra"]
    return {**row, **{name: extra.get(given) for given, name in names_of_columns(columns).items()}}


def segments_schema(labels: Sequence[str]) -> pa.Schema:
    """Return the columns of `segments`, one row a sentence, or a window where nothing was transcribed.

    Columns
    -------
    file, number : address of the recording, and the row's place in it from 0
    start_s, end_s : in seconds from its beginning
    speaker, channel : None where there is only one; the channel also where several share it
    text, language : None without transcription
    label, confidence, sure, probabilities : None where there is too little speech
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("file", pa.string(), nullable=False), pa.field("number", pa.int32(), nullable=False),
            ("start_s", pa.float64()), ("end_s", pa.float64()), ("speaker", pa.string()), ("channel", pa.int32()),
            ("text", pa.string()), ("language", pa.string()),
            ("label", pa.string()), ("confidence", pa.float32()), ("sure", pa.bool_()),
            ("probabilities", probabilities_type(labels)),
        ]
    )  # fmt: skip


def probabilities_type(labels: Sequence[str]) -> pa.DataType:
    """Return a struct with a probability for each label."""
    import pyarrow as pa

    return pa.struct([(label, pa.float32()) for label in labels])
