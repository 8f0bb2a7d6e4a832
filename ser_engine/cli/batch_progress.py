"""How far a batch is, on standard error: a bar for people, or JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

from tqdm import tqdm

from ser_engine.batch.progress import Progress


@contextmanager
def open_progress(kind: str) -> Iterator[Callable[[Progress], None]]:
    """Yield what shows a `Progress`: "bar", "json" on standard output, or "none"."""
    if kind == "none":
        yield lambda _: None
        return
    if kind == "json":
        out = sys.stdout
        with redirect_stdout(sys.stderr):  # where Ray's messages go, then
            yield lambda progress: print(json.dumps(progress.to_dict()), file=out, flush=True)
        return
    with tqdm(unit=" recordings", smoothing=0.05, file=sys.stderr, disable=not sys.stderr.isatty()) as bar:
        last: list[Progress] = []

        def show(progress: Progress) -> None:
            last[:] = [progress]
            bar.total = progress.total
            bar.initial = progress.earlier
            bar.n = progress.done
            bar.set_postfix_str(f"{progress.audio_s / 3600:.1f} h of sound, {progress.failed} errors", refresh=False)
            bar.refresh()

        yield show
    if last:
        print(summary(last[0]), file=sys.stderr)


def summary(progress: Progress) -> str:
    """Return how a run ended, in a line."""
    parts = [f"{progress.done:,} recordings"]
    counts = {"errors": progress.failed, "skipped": progress.skipped, "of earlier runs": progress.earlier}
    parts += [f"{number:,} {name}" for name, number in counts.items() if number]
    if progress.changed:
        parts.append(f"{progress.changed:,} changed since they were analyzed (see _log.txt)")
    parts.append(f"{progress.audio_s / 3600:.1f} h of sound in {progress.elapsed_s / 60:.1f} min")
    return ", ".join(parts)
