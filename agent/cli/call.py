"""callmood call: a recording as a real call into a running server."""

from pathlib import Path
from typing import Annotated

import typer


def call(
    file: Annotated[Path, typer.Argument(help="WAV of any rate, width and channels; FLAC, MP3; or raw .ul/.mulaw.")],
    url: Annotated[str, typer.Option(help="The running server.")] = "",
    from_: Annotated[str, typer.Option("--from", help="The caller's number.")] = "+15550100001",
    to: Annotated[str, typer.Option(help="The number called.")] = "+15550100100",
    speed: Annotated[float, typer.Option(min=0.01, max=1000, help="Times real time.")] = 1.0,
    loss: Annotated[float, typer.Option(min=0, max=100, help="Percent of the frames lost.")] = 0.0,
    jitter: Annotated[float, typer.Option(min=0, max=5000, help="Milliseconds a frame may be late.")] = 0.0,
    calls: Annotated[int, typer.Option(min=1, max=1000, help="So many calls at once.")] = 1,
) -> None:
    """Play a recording into a running server exactly as Twilio would, signed with TWILIO_AUTH_TOKEN."""
    import trio

    from ..audiofile import load_telephone
    from ..config_sources import load
    from ..testing import CallResult, Pace, TwilioCaller
    from .analyze import warn_if_misread

    audio = load_telephone(file)
    warn_if_misread(file, audio)
    settings = load()
    results: list[CallResult] = []

    async def one(number: int) -> None:
        await trio.sleep(0.02 * number / calls)  # spread over one frame, as unrelated calls are
        caller = TwilioCaller(
            url or f"http://127.0.0.1:{settings.port}",
            public_origin=settings.webhook_url or None,
            auth_token=settings.twilio_auth_token.reveal() or None,
            from_=from_,
            to=to,
        )
        result = await caller.call(audio, Pace(speed=speed, loss=loss, jitter_ms=jitter, seed=number))
        results.append(result)
        typer.echo(described(result))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(calls):
                nursery.start_soon(one, number)

    trio.run(main)
    raise typer.Exit(0 if all(result.ok and result.stream is not None for result in results) else 1)


def described(result: "object") -> str:
    """One call in one line."""
    from ..testing import CallResult

    assert isinstance(result, CallResult)
    if result.error is not None:
        return f"{result.call_sid}  failed: {result.error}"
    if result.stream is None:
        return f"{result.call_sid}  not streamed: the server sent the caller on to its fallback"
    closed = "" if result.closed is None else f", closed {result.closed.code} {result.closed.reason}".rstrip()
    return f"{result.call_sid}  {result.frames_sent} frames sent, {result.frames_lost} lost on purpose{closed}"
