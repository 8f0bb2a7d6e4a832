"""Serve analyses over HTTP: recordings, live sessions and archives, with an OpenAPI document.

Without keys, only programs on this computer can use it. A key is made with --new-key NAME, which prints it once and,
with --keys, adds its SHA-256 to a file. docs/service.md describes the addresses, the limits and the settings. The
service ends in order on SIGTERM or Ctrl-C: it finishes what is under way. Needs: pip install "ser-engine[service]"
"""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import replace

from ser_engine.errors import InvalidSettings
from ser_engine.settings import Settings

HELP = "serve analyses over HTTP"
SHARED = ("model", "language", "channels", "channel_names", "speakers")
NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; each overrides a setting of the service (SER_SERVE_…)."""
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1, this computer alone)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8000)")
    parser.add_argument("--keys", dest="keys_file", metavar="FILE", help="file of keys (default: SER_SERVE_KEYS_FILE)")
    parser.add_argument("--new-key", metavar="NAME", help="make a key, print it, and end")
    parser.add_argument(
        "--origins", nargs="+", metavar="https://…", help="web sites that may use the service from a browser"
    )
    parser.add_argument(
        "--at-once", type=int, metavar="N", help="recordings analyzed at once (default: half the cores)"
    )
    parser.add_argument("--queue", type=int, metavar="N", help="recordings that may wait for that (default: 32)")
    parser.add_argument("--sessions", type=int, metavar="N", help="live sessions at once (default: 8)")
    parser.add_argument("--batches", metavar="FOLDER", help="archives for /v1/batches (default: none)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Serve until asked to stop, or make a key."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        needed = 'pip install "ser-engine[service]"'
        raise InvalidSettings(f"ser serve needs {', '.join(missing)}: {needed}")
    from ser_engine.service.config import MAX_BYTES, MAX_SECONDS, ServiceSettings
    from ser_engine.service.keys import new_key

    names = ("host", "port", "keys_file", "at_once", "queue", "sessions", "batches")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.origins:
        given["origins"] = " ".join(options.origins)
    service_settings = replace(ServiceSettings.from_env(), **given)
    if options.new_key is not None:
        secret, lines = new_key(options.new_key, service_settings.keys_file)
        print(secret if service_settings.keys_file else f"{secret}\n\n{lines}", end="\n")
        return 0
    from ser_engine.service.server import run as serve

    limits = Settings.from_env(max_bytes=MAX_BYTES, max_seconds=MAX_SECONDS)
    return serve(replace(settings, max_bytes=limits.max_bytes, max_seconds=limits.max_seconds), service_settings)
