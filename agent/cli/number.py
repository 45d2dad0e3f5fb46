"""The Twilio number that `callmood dev` borrows: which one it is, and its calls coming here for a while."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
import typer

from ..core.destination import masked
from ..errors import CarrierUnavailable, ConfigError
from ..http import client
from ..settings import Settings
from ..telephony.twilio_numbers import NUMBER_SID, Number, TwilioNumbers, Webhooks
from .borrowed import borrowed, data_folder, put_back, read_loan, shown, still_runs

FIND_S = 15.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for."""

    number: str
    """E.164 or PN…; empty: the only one."""
    ngrok: str
    """Path of a binary; empty: the one on PATH, or none where there is a public address already."""
    yes: bool
    """Nobody is asked."""


@asynccontextmanager
async def twilio(settings: Settings, account_sid: str = "") -> AsyncIterator[TwilioNumbers]:
    """The numbers of the account in the settings, or of another one with the same token."""
    async with client(connections=2) as http:
        yield TwilioNumbers(
            http,
            account_sid=account_sid or settings.twilio_account_sid,
            auth_token=settings.twilio_auth_token.reveal(),
            base_url=settings.twilio_base_url,
        )


async def ready_number(numbers: TwilioNumbers, settings: Settings, wishes: Wishes) -> Number:
    """The number that is meant, as it is without us: what a crash has left behind is put back first."""
    folder = data_folder(settings)
    loan = read_loan(folder)
    if loan is not None:
        if still_runs(loan):
            raise ConfigError(f"callmood dev is running already (process {loan.pid}): end it, or say --undo")
        typer.echo(f"from the last time: {await put_back(numbers, loan, folder)}")
    try:
        with trio.fail_after(FIND_S):
            return await chosen(numbers, wishes.number)
    except trio.TooSlowError:
        raise CarrierUnavailable("Twilio does not answer: check the network, and try again") from None


async def chosen(numbers: TwilioNumbers, wanted: str) -> Number:
    """The number named, or the only one. Raises ConfigError."""
    named = NUMBER_SID.fullmatch(wanted) is not None
    found = [await numbers.get(wanted)] if named else list(await numbers.find(wanted))
    if not found:
        what = f"no number {masked(wanted)}: write it as +15550100100" if wanted else "no number: buy one there first"
        raise ConfigError(f"the Twilio account has {what}")
    if len(found) > 1:
        listed = ", ".join(f"{masked(number.number)} {number.sid}" for number in found[:10])
        raise ConfigError(f"the Twilio account has several numbers ({listed}): name one with --number")
    [number] = found
    if number.overruled_by:
        raise ConfigError(
            f"number {masked(number.number)} takes its addresses from {number.overruled_by}: set it to Webhook in "
            "Twilio's console first"
        )
    return number


@asynccontextmanager
async def pointed(
    numbers: TwilioNumbers, number: Number | None, settings: Settings, wishes: Wishes, asked: trio.Event
) -> AsyncIterator[None]:
    """The number's calls come here until the end of the block, where there is one and nobody objects.

    `asked` is set when the user wants to end, which is an answer too.
    """
    if number is None:
        yield
        return
    url = settings.webhook_url.rstrip("/")
    ours = Webhooks(f"{url}/voice/incoming", "POST", f"{url}/twilio/call-status", "POST")
    typer.echo(f"voice webhook of {masked(number.number)}")
    typer.echo(f"  old  {shown(number.webhooks)}")
    typer.echo(f"  new  {shown(ours)}")
    if not wishes.yes and not await agreed("Set it, and put it back at the end? [Y/n] ", asked):
        typer.echo("the number is left alone")
        yield
        return
    folder = data_folder(settings)
    async with borrowed(numbers, number, settings.twilio_account_sid, ours, folder, typer.echo):
        yield


async def agreed(question: str, asked: trio.Event) -> bool:
    """A yes on the terminal; the server goes on meanwhile. No thread reads: one could not be called back."""
    answer = b"n"
    async with trio.open_nursery() as nursery:

        async def give_up() -> None:
            await asked.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(give_up)
        typer.echo(question, nl=False)
        await trio.lowlevel.wait_readable(0)
        answer = os.read(0, 1024)
        nursery.cancel_scope.cancel()
    return answer.strip().lower() in (b"", b"y", b"yes") and answer != b"" and not asked.is_set()
