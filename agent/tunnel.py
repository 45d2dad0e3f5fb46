"""A public address for this machine, through the user's own `ngrok`.

ngrok is started with its log as JSON lines on standard output, tells there where its local API listens, and the API
tells the public address (`GET /api/tunnels`; 4040 is only the first port it tries,
https://ngrok.com/docs/agent/api/). What it says is never repeated, since some of its errors quote the auth token; only
its error codes are (https://ngrok.com/docs/errors).
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from .config_sources import ENVIRONMENT
from .errors import ConfigError, TunnelUnavailable
from .http import client, httpx
from .settings_checks import public_enough

START_S = 30.0
"""How long ngrok has for a public address."""
POLL_S = 0.2
ASK_S = 2.0
"""One question to the API."""
LOG_LINE = 64 * 1024
"""Bytes; a longer line of the log is cut, and what is left of it passed over."""

DEFAULT_API = "127.0.0.1:4040"

_CODE = re.compile(rb"ERR_NGROK_\d{1,6}", re.ASCII)
_ADDRESS = re.compile(r"(127\.0\.0\.1|localhost|\[::1\]):\d{1,5}", re.ASCII)
_KEYS = frozenset({"ERR_NGROK_105", "ERR_NGROK_106", "ERR_NGROK_107", "ERR_NGROK_4018", "ERR_NGROK_4019"})
"""No auth token, or one that is not accepted."""
_TOO_MANY = frozenset({"ERR_NGROK_108", "ERR_NGROK_334"})
"""Another agent of the same account is online."""


def find_ngrok(name: str = "") -> str:
    """The path of the user's ngrok. Raises ConfigError when there is none."""
    found = shutil.which(name or "ngrok")
    if found is None and name:
        raise ConfigError(f"--ngrok {name} is not a program: name the path of the ngrok binary")
    if found is None:
        raise ConfigError(
            "ngrok is not on your PATH: install it from https://ngrok.com/download, name it with --ngrok PATH, or set "
            "WEBHOOK_URL to a public address of your own"
        )
    return found


@dataclass(slots=True)
class Said:
    """What ngrok's log has told so far."""

    api: str = DEFAULT_API
    codes: list[str] = field(default_factory=list)
    over: trio.Event = field(default_factory=trio.Event)
    """It has ended."""

    def note(self, line: bytes) -> None:
        """One line of the log."""
        for code in _CODE.findall(line)[:4]:
            if len(self.codes) < 16:
                self.codes.append(code.decode())
        try:
            entry = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if isinstance(entry, dict) and entry.get("msg") == "starting web service":
            address = str(entry.get("addr"))
            self.api = address if _ADDRESS.fullmatch(address) else self.api

    def sentence(self) -> str:
        """Why there is no tunnel, and what to do."""
        if _KEYS.intersection(self.codes):
            return (
                f"ngrok refuses its auth token ({self.codes[0]}): copy yours from https://dashboard.ngrok.com and run "
                "`ngrok config add-authtoken TOKEN`"
            )
        if _TOO_MANY.intersection(self.codes):
            return f"another ngrok of your account is online ({self.codes[0]}): end it, and start again"
        if self.codes:
            page = f"https://ngrok.com/docs/errors/{self.codes[0].lower()}"
            return f"ngrok will not open a tunnel ({self.codes[0]}): see {page}"
        return "ngrok opened no tunnel: run `ngrok http 3000` by itself to see why"


async def run_ngrok(ngrok: str, port: int, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    """Keep a tunnel to a loopback port open until cancelled; `nursery.start` returns its public address.

    Raises TunnelUnavailable when there is none, and when it is gone later.
    """
    said = Said()
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                command(ngrok, port),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                env=without_secrets(os.environ),
                start_new_session=True,  # Ctrl-C is for us: the tunnel stays until the number is put back
            )
        )
        assert process.stdout is not None
        nursery.start_soon(read_log, process.stdout, said)
        url = None
        with trio.move_on_after(START_S):
            url = await public_url(said, port)
        if url is None:
            raise TunnelUnavailable(said.sentence())
        task_status.started(url)
        await said.over.wait()
        raise TunnelUnavailable("ngrok has ended, and the tunnel with it: start again")


def command(ngrok: str, port: int) -> list[str]:
    """ngrok under its guard, which ends it when we are gone."""
    guard = str(Path(__file__).with_name("tunnel_guard.py"))
    log = ("--log", "stdout", "--log-format", "json", "--log-level", "info")
    return [sys.executable, "-I", guard, ngrok, "http", f"127.0.0.1:{port}", *log]


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program that has no business with our keys."""
    return {name: value for name, value in environ.items() if name not in ENVIRONMENT}


async def read_log(log: trio.abc.ReceiveStream, said: Said) -> None:
    """Read until ngrok ends: a log that nobody reads would stop it."""
    rest = b""
    async for piece in log:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            said.note(line)
        rest = rest[-LOG_LINE:]
    said.note(rest)
    said.over.set()


async def public_url(said: Said, port: int) -> str | None:
    """The tunnel's public address, as soon as the API knows it; None when ngrok has ended before."""
    async with client(connections=1) as http:
        while not said.over.is_set():
            with trio.move_on_after(ASK_S):
                if (url := await ask(http, said.api, port)) is not None:
                    return url
            with trio.move_on_after(POLL_S):
                await said.over.wait()
    return None


async def ask(http: httpx.AsyncClient, api: str, port: int) -> str | None:
    """The public address of the tunnel to this port, if the API at `api` knows one by now."""
    try:
        answer = await http.get(f"http://{api}/api/tunnels")
        tunnels = msgspec.json.decode(answer.content) if answer.is_success else {}
    except (httpx.HTTPError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    listed = tunnels.get("tunnels") if isinstance(tunnels, dict) else None
    found = (read_tunnel(item, port) for item in (listed if isinstance(listed, list) else []))
    return next((url for url in found if url is not None), None)


def read_tunnel(tunnel: Any, port: int) -> str | None:
    """A tunnel's public origin, if it leads to this port and Twilio can use it. Another agent may own the API."""
    tunnel = tunnel if isinstance(tunnel, dict) else {}
    config = tunnel.get("config")
    leads_to = str(config.get("addr")) if isinstance(config, dict) else ""
    url = tunnel.get("public_url")
    if not isinstance(url, str) or not leads_to.rstrip("/").endswith(f":{port}"):
        return None
    return url.rstrip("/") if public_enough(url) else None
