"""Resolve every pin for each Python and platform from wheels alone; fail where one is missing or not pinned.

Only metadata is fetched. openai-whisper is published as source alone, in pure Python, and is exempt.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The last includes the others.
LOCK = "requirements-dev.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "Linux on x86-64": "x86_64-manylinux_2_28",
    "Linux on ARM": "aarch64-manylinux_2_28",
    "macOS on Apple silicon": "aarch64-apple-darwin",
    "Windows on x86-64": "x86_64-pc-windows-msvc",
}
# The oldest macOS that av has a wheel for.
MACOS = "14.0"
FROM_SOURCE = ("openai-whisper",)
# What the published torch for Linux brings along by exact versions of its own; triton also by openai-whisper.
OF_TORCH = re.compile(r"nvidia-|cuda-|triton$")


def pinned() -> set[str]:
    """Return the names in all requirement files."""
    files = ROOT.glob("requirements*.txt")
    return {name for file in files for name in re.findall(r"^([\w-]+)==", file.read_text(), re.MULTILINE)}


def resolve(platform: str, python: str) -> str:
    """Return what is wrong with the lock on one platform and Python, or an empty string."""
    command = [sys.executable, "-m", "uv", "pip", "compile", LOCK, "--quiet", "--no-header", "--no-annotate"]
    command += ["--python-platform", platform, "--python-version", python, "--only-binary", ":all:"]
    command += [option for name in FROM_SOURCE for option in ("--no-binary", name)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": MACOS}, capture_output=True, text=True
    )
    if done.returncode:
        return done.stderr.strip()
    names = set(re.findall(r"^([\w-]+)==", done.stdout, re.MULTILINE))
    missing = sorted(name for name in names - pinned() if not OF_TORCH.match(name))
    return f"not pinned: {', '.join(missing)}" if missing else ""


def main() -> int:
    """Print one line per platform and Python; return 1 where a lock does not hold."""
    cases = list(itertools.product(PLATFORMS, PYTHONS))
    with ThreadPoolExecutor(8) as pool:
        problems = list(pool.map(lambda case: resolve(PLATFORMS[case[0]], case[1]), cases))
    for (platform, python), problem in zip(cases, problems, strict=True):
        print(f"{platform}, Python {python}: {problem or 'every pin has a wheel'}")
    return int(any(problems))


if __name__ == "__main__":
    sys.exit(main())
