"""The recording of a request: a form's file or the body itself, in a nameless temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import BinaryIO, cast

from starlette.datastructures import UploadFile
from starlette.requests import Request

from ser_engine.service.problems import Problem

IN_MEMORY = 2**20
"""Bytes up to which a recording is held in memory."""
FORM = "multipart/form-data"
MAX_NAME = 200


@asynccontextmanager
async def read_recording(request: Request, name: str) -> AsyncIterator[tuple[BinaryIO, str]]:
    """Yield the recording of a request as an open file, and its name: `name`, or else that of the form's file."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with AsyncExitStack() as opened:
        try:
            if kind == FORM:
                form = await opened.enter_async_context(request.form(max_files=1, max_fields=10))
                uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
                if len(uploads) != 1:
                    raise Problem("bad-request", "The form needs a file, the recording.")
                if len(form.multi_items()) > 1:
                    raise Problem("bad-request", "The form has a file alone; options belong into the query.")
                file, name = uploads[0].file, name or (uploads[0].filename or "")[-MAX_NAME:]
            else:
                file = cast("BinaryIO", tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115
                opened.enter_context(file)
                async for part in request.stream():
                    file.write(part)
                file.seek(0)
        except OSError:
            raise Problem("unavailable", "The server has no space for the recording.") from None
        yield file, name
