"""Whether a public address leads to a running Callmood."""

import trio

from ..errors import TunnelUnavailable
from ..http import client, httpx

REACHED_S = 20.0
"""How long the address has to begin to lead here."""
LOOK_S = 4.0
AGAIN_S = 0.5

HEALTH = b'{"status":"ok"}'


async def reach(url: str, port: int) -> None:
    """Returns when the public address leads to a Callmood. Raises TunnelUnavailable."""
    wrong = "no answer"
    async with client(connections=1) as http:
        with trio.move_on_after(REACHED_S):
            while wrong:
                with trio.move_on_after(LOOK_S):
                    wrong, _ = await look(http, url)
                if wrong:
                    await trio.sleep(AGAIN_S)
    if wrong:
        here = f"http://127.0.0.1:{port}"
        raise TunnelUnavailable(f"{url} does not lead here ({wrong}): let it lead to {here}, or use --ngrok")


async def look(http: httpx.AsyncClient, url: str) -> tuple[str, str]:
    """What is wrong with the answer of `/healthz` there (empty: it is ours), and the answer's Date."""
    try:
        answer = await http.get(f"{url.rstrip('/')}/healthz")
    except httpx.HTTPError as error:
        return type(error).__name__, ""
    date = answer.headers.get("date", "")
    if answer.is_success and answer.content.strip() == HEALTH:
        return "", date
    return f"it answers {answer.status_code}" if not answer.is_success else "something else answers there", date


async def look_once(url: str, patience_s: float) -> tuple[str, str]:
    """`look`, by itself and within so much time."""
    with trio.move_on_after(patience_s):
        async with client(connections=1) as http:
            return await look(http, url)
    return "no answer", ""
