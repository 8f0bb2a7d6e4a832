"""Recognize files by their bytes: documents, tags before a recording, and recordings joined in one file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ser_engine.errors import InvalidAudio, NotAudio

if TYPE_CHECKING:
    from ser_engine.audio.encoded import Encoded

# Common uploads that are no recording, by their first bytes.
DOCUMENTS = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x1f\x8b", "a GZIP archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"{\\rtf", "an RTF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
)
# How recordings begin (offset, bytes), to distinguish damaged ones from other files.
RECORDINGS = (
    (0, (b"RIFF", b"RIFX", b"RF64"), "a WAV"),
    (0, b"fLaC", "a FLAC"),
    (0, b"OggS", "an Ogg"),
    (0, b"ID3", "an MP3"),
    (0, b"\x1aE\xdf\xa3", "a WebM"),
    (4, b"ftyp", "an MP4 or M4A"),
    (0, b"#!AMR", "an AMR"),
)
# How formats begin whose decoders stop at the end of the first of several files in one. Eight bytes are fixed in most,
# so that compressed audio does not hold them by chance. MP3 and AAC are streams without a beginning.
BEGINNINGS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rb"(?:RIFF|RIFX|RF64).{4}WAVE",
        rb"FORM.{4}AIF[FC]",
        rb"fLaC\x00\x00\x00\x22",
        rb"OggS\x00\x02\x00{8}",
        rb"\x00\x00\x00[\x08-\xff]ftyp",
        rb"\x1aE\xdf\xa3.{1,40}\x42\x82.(?:webm|matroska)",
        rb"#!AMR(?:-WB)?\n",
        rb"caff\x00\x01\x00\x00",
        rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    )
)
_OGG = BEGINNINGS[3]
LONGEST = 64
"""Bytes that no beginning exceeds."""


def refuse_documents(data: bytes) -> None:
    """Raise NotAudio if a file begins like a common document, picture or archive."""
    for magic, kind in DOCUMENTS:
        if data.startswith(magic):
            raise NotAudio(f"This is {kind}, not a recording.")


def skip_tags(data: Encoded) -> Encoded:
    """Return a file without the ID3v2 tags in front of it, which some programs write before any format."""
    start = 0
    while (head := data.head(10, start)).startswith(b"ID3") and len(data) > start + 10:
        size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        end = start + 10 + size + (10 if head[5] & 0x10 else 0)  # the flag of a footer
        if end >= len(data):
            break
        start = end
    return data.part(start)


def split_joined(data: Encoded) -> Sequence[Encoded]:
    """Return the files of one format that were joined one after the other; mostly there is only one."""
    head = data.head(LONGEST)
    beginning = next((each for each in BEGINNINGS if each.match(head)), None)
    if beginning is None:
        return [data]
    starts = _find_all(beginning, data)
    if beginning is _OGG:
        # Streams that sound together also begin several times, but without anything between their first pages.
        ends = [_page_end(data, start) for start in starts]
        starts = [0, *(start for start, end in zip(starts[1:], ends, strict=False) if start != end)]
    return [data.part(start, end) for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def is_mpeg(data: Encoded) -> bool:
    """Whether a file begins with a frame of MP3 or AAC or a damaged ID3 tag, or is a WAV of MP3."""
    head = data.head(4096)
    codec = head.find(b"fmt ", 12) + 8 if head.startswith(b"RIFF") else 0
    framed = len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0
    return framed or head.startswith(b"ID3") or (codec > 8 and head.startswith(b"\x55\0", codec))


def has_streams(data: Encoded) -> bool:
    """Whether an Ogg file has several streams that sound together, such as a film's."""
    return data.head(4) == b"OggS" and len(_find_all(_OGG, data)) > 1


def is_chunk(data: Encoded) -> bool:
    """Whether what follows the samples of a WAV or AIFF file is a chunk of information, such as its title."""
    passed = 0
    for block in data.blocks():
        head = block.lstrip(b"\0")  # padding
        passed += len(block) - len(head)
        if head:
            break
    head = data.head(8, passed)
    sizes = [int.from_bytes(head[4:], order) for order in ("little", "big")]
    named = re.match(rb"[ -~]{4}", head) is not None and min(sizes) <= len(data) - passed
    return not head or named or head.startswith(b"TAG")


def explain_failure(data: Encoded) -> InvalidAudio:
    """Return the error for bytes that no decoder recognizes: NotAudio unless they begin like a recording."""
    head = data.head(4096)
    for offset, magic, kind in RECORDINGS:
        if head.startswith(magic, offset):
            return InvalidAudio(
                f"This looks like {kind} recording, but it is cut off or damaged and cannot be decoded."
            )
    if head[:1000].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return NotAudio("This is a web page, not a recording.")
    try:
        text = head.decode("utf-8", errors="strict" if len(data) <= 4096 else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if all(letter.isprintable() or letter.isspace() for letter in text):
        return NotAudio("This is a text document, not a recording.")
    return NotAudio("This is not a recording in a supported format, or it is damaged from the start.")


def _find_all(pattern: re.Pattern[bytes], data: Encoded) -> list[int]:
    """Return where a pattern of at most `LONGEST` bytes begins."""
    found: list[int] = []
    start, rest = 0, b""  # the bytes from `start` on that were not searched
    for block in data.blocks():
        rest += block
        last = start + len(rest) >= len(data)
        searched = len(rest) if last else max(0, len(rest) - LONGEST)  # a match from here on may be cut off
        for match in pattern.finditer(rest):
            if match.start() < searched:
                found.append(start + match.start())
                searched = max(searched, match.end())
        start, rest = start + searched, rest[searched:]
    return found


def _page_end(data: Encoded, start: int) -> int:
    """Return where the Ogg page ends that begins at `start`."""
    head = data.head(27 + 255, start)
    count = head[26] if len(head) > 26 else 0
    return start + 27 + count + sum(head[27 : 27 + count])
