"""Other ways to take a media stream in, for comparison: each does the least that any server must do with a message.

Read, unmask, parse, base64, mu-law, into a ring of three seconds. They lie in `scripts/bench/peers` of a checkout; what
they need beyond our own lock is installed there on request (`callmood bench --peers --install`).
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import CallmoodError
from .dialling import Server
from .measure import pin
from .server import Running, announced, started

FOLDER = Path(__file__).parents[2] / "scripts" / "bench" / "peers"
PIPECAT = FOLDER / ".venv"
INSTALL_S = 900


@dataclass(frozen=True, slots=True)
class Peer:
    """One of them."""

    command: tuple[str, ...]
    needs: tuple[Path, ...]
    """Files that must be there."""
    calls: int = 10_000
    """As many as it carries on a core."""

    def missing(self) -> str | None:
        """Why it cannot be run; None: it can."""
        if not FOLDER.is_dir():
            return "peers come with a checkout"
        if shutil.which(self.command[0]) is None:
            return f"there is no {Path(self.command[0]).name}"
        absent = next((path for path in self.needs if not path.exists()), None)
        return None if absent is None else "callmood bench --peers --install fetches what it needs"

    @asynccontextmanager
    async def serving(self, cores: Sequence[int]) -> AsyncIterator[Running]:
        """It listens as long as the block lasts. Raises CallmoodError."""
        with tempfile.TemporaryDirectory(prefix="callmood-bench-") as name:
            folder = Path(name)
            async with started(self.command, folder, {}) as process:
                url = await announced(process, folder)
                if cores:
                    pin(process.pid, cores)
                yield Running(process.pid, Server(url), folder)


def _script(name: str) -> str:
    return str(FOLDER / name)


PEERS = {
    "Node, ws": Peer(("node", _script("node/server.js")), (FOLDER / "node" / "node_modules" / "ws",)),
    "trio-websocket": Peer((sys.executable, _script("trio_websocket_path.py")), ()),
    "Quart-Trio on Hypercorn": Peer((sys.executable, _script("quart_path.py")), ()),
    "pipecat, Twilio": Peer(
        (str(PIPECAT / "bin" / "python"), _script("pipecat_path.py")), (PIPECAT / "installed",), calls=30
    ),
}
YARDSTICK = "Node, ws"


def install() -> Iterator[str]:
    """Fetch what peers need, with the clients of the package registries; says what it does. Raises CallmoodError."""
    if not FOLDER.is_dir():
        raise CallmoodError("peers come with a checkout of the repository: run bench there")
    if shutil.which("npm"):
        yield "installing ws"
        _do("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", folder=FOLDER / "node")
    yield "installing pipecat"
    _do(sys.executable, "-m", "venv", str(PIPECAT))
    _do(str(PIPECAT / "bin" / "python"), "-m", "pip", "install", "-q", "-r", _script("pipecat-requirements.txt"))
    (PIPECAT / "installed").touch()


def _do(*command: str, folder: Path = FOLDER) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_S, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise CallmoodError(f"{Path(command[0]).name} could not install a peer: {said[-1]}") from None
