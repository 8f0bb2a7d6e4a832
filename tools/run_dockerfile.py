"""Run the Dockerfile's steps in a folder with a Debian system, up to a healthy server, where there is no Docker.

    debootstrap --variant=minbase bookworm ROOT
    python tools/run_dockerfile.py ROOT [--target STAGE] [--build-arg NAME=VALUE] [--environment NAME=VALUE]

As root, on Linux. FROM is played by Debian's own Python of the same version. Each step is printed with its seconds.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the base image has: `python` and `pip` on PATH.
FROM = (
    "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends"
    " ca-certificates python3 python3-venv && python3 -m venv /usr/local"
)
HEALTHY_AFTER_S = 120.0


def read_instructions(text: str) -> list[tuple[str, str]]:
    """Return (INSTRUCTION, arguments) of a Dockerfile, without comments and with continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (name, rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())
    ]


def stage_instructions(text: str, target: str = "") -> list[tuple[str, str]]:
    """Return the instructions of a stage and of those that it is built from; of the last one, if none is named.

    Raise KeyError for a stage that there is not.
    """
    stages: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    name = ""
    for instruction, rest in read_instructions(text):
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            stages[name] = base, [] if base in stages else [(instruction, base)]
        else:
            stages[name][1].append((instruction, rest))
    base, own = stages[target or name]
    return (stage_instructions(text, base) if base in stages else []) + own


class Chroot:
    """A folder with a system, the image's environment, its working directory and its user."""

    def __init__(self, root: Path, environment: dict[str, str]):
        self.root = root
        self.environment = {"PATH": PATH, "HOME": "/root"} | environment
        self.folder = "/"
        self.user = ""

    def command(self, arguments: list[str]) -> list[str]:
        """Return the command that runs `arguments` inside."""
        user = [f"--userspec={self.user}:{self.user}"] if self.user else []
        script = f"cd {shlex.quote(self.folder)} && exec {shlex.join(arguments)}"
        return ["chroot", *user, str(self.root), "/bin/sh", "-c", script]

    def run(self, arguments: list[str]) -> None:
        """Run a command inside; raise CalledProcessError where it fails."""
        subprocess.run(self.command(arguments), env=self.environment, stdin=subprocess.DEVNULL, check=True)

    def copy(self, sources: list[str], target: str) -> None:
        """Copy files and folders of the build context, without what .dockerignore leaves out."""
        place = self.root / str(Path(self.folder, target)).lstrip("/")
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "*.part", "encoders", "secrets.toml")
                shutil.copytree(ROOT / source, place, ignore=ignored, dirs_exist_ok=True)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / source, place)


def wait_until_healthy(chroot: Chroot, server: list[str], check: list[str]) -> float:
    """Start the server and return the seconds until the health check passes; raise TimeoutError if it does not."""
    started = time.monotonic()
    process = subprocess.Popen(chroot.command(server), env=chroot.environment, stdin=subprocess.DEVNULL)
    try:
        while subprocess.run(chroot.command(check), env=chroot.environment, stderr=subprocess.DEVNULL).returncode:
            if process.poll() is not None or time.monotonic() - started > HEALTHY_AFTER_S:
                raise TimeoutError("The server did not become healthy.")
            time.sleep(0.5)
        return time.monotonic() - started
    finally:
        process.terminate()
        process.wait(timeout=30)


def run_steps(chroot: Chroot, arguments: dict[str, str], target: str) -> None:
    """Run every instruction of a stage in order, then its server and the health check."""
    check: list[str] = []
    for name, rest in stage_instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"), target):
        started = time.monotonic()
        if name == "FROM":
            chroot.run(["sh", "-c", FROM])
        elif name == "ARG":
            key, _, default = rest.partition("=")
            chroot.environment[key] = arguments.get(key, default)
        elif name == "ENV":
            chroot.environment |= dict(item.split("=", 1) for item in shlex.split(rest))
        elif name == "WORKDIR":
            chroot.folder = rest
            (chroot.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            *sources, target = shlex.split(rest)
            chroot.copy(sources, target)
        elif name == "RUN":
            chroot.run(["sh", "-c", rest])
        elif name == "USER":
            chroot.user = rest
            chroot.environment["HOME"] = f"/home/{rest}"
        elif name == "HEALTHCHECK":
            check = json.loads(rest.split("CMD", 1)[1])
        elif name == "CMD":
            seconds = wait_until_healthy(chroot, json.loads(rest), check)
            print(f"The server is healthy after {seconds:.1f} s.", flush=True)
        print(f"{time.monotonic() - started:7.1f} s  {name} {rest[:90]}", flush=True)


def main() -> int:
    """Run all steps; return 0 when the server is healthy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path, help="folder that debootstrap has made")
    parser.add_argument("--target", default="", metavar="STAGE", help="page (default) or service")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--environment", action="append", default=[], metavar="NAME=VALUE", help="such as PIP_CERT")
    options = parser.parse_args()
    arguments = dict(item.split("=", 1) for item in options.build_arg)
    devices = options.root / "dev"
    for name in ("resolv.conf", "hosts"):
        shutil.copy2(Path("/etc", name), options.root / "etc" / name)
    subprocess.run(["mount", "--bind", "/dev", devices], check=True)
    try:
        chroot = Chroot(options.root, dict(item.split("=", 1) for item in options.environment))
        run_steps(chroot, arguments, options.target)
    except (subprocess.CalledProcessError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        subprocess.run(["umount", devices], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
