"""Print the path of a Chromium that runs; where there is none, install one first.

Tried in this order: what CHROMIUM names, the system's own, Debian's package (when root), Playwright's build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def runs(path: str) -> bool:
    """Whether the program at `path` starts at all; Ubuntu's `chromium-browser` may be an empty shell."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def on_system() -> str | None:
    """Return the path of the first Chromium or Chrome on PATH that runs."""
    paths = (shutil.which(name) for name in NAMES)
    return next((path for path in paths if path and runs(path)), None)


def from_debian() -> str | None:
    """Install Debian's package where that is possible: as root, with apt-get."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        subprocess.run(["apt-get", *step], stdout=sys.stderr, stdin=subprocess.DEVNULL, env=environment)
    return on_system()


def from_playwright() -> str | None:
    """Let Playwright fetch its own build, unless it is there already."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    if not runs(path):
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], stdout=sys.stderr)
    return path if runs(path) else None


def main() -> int:
    """Print one path and return 0, or one sentence on standard error and return 1."""
    chosen = os.environ.get("CHROMIUM")
    if chosen and not runs(chosen):
        print(f"CHROMIUM names {chosen}, which does not start.", file=sys.stderr)
        return 1
    path = chosen or on_system() or from_debian() or from_playwright()
    if not path:
        print("No Chromium was found or could be installed; install one and name it with CHROMIUM=…", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
