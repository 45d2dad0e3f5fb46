"""A number's webhooks, borrowed for a while: what was there is on the disk before anything is changed, and comes back.

The record (`dev-undo.json`, 0600) is removed when the number is as it was. So whatever ends us, a later
`callmood dev --undo` knows what to put back. What somebody else has changed meanwhile is left alone.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import trio

from ..dotenv import replace_file
from ..errors import CallmoodError, CarrierRefused, CarrierUnavailable, ConfigError
from ..settings import Settings
from ..telephony.twilio_numbers import Number, TwilioNumbers, Webhooks

RECORD = "dev-undo.json"
PUT_BACK_S = 20.0
"""How long putting back may take, attempts and all, while whoever ended us waits."""
TRY_S = 8.0
AGAIN_S = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Loan:
    """What was changed, and by whom."""

    number_sid: str
    account_sid: str
    before: Webhooks
    ours: Webhooks
    pid: int
    """The process that borrowed it."""


def data_folder(settings: Settings) -> Path:
    """Where the record lies: with the ledger."""
    return Path(settings.data).expanduser()


def read_loan(folder: Path) -> Loan | None:
    """The loan that is still open in this data folder. Raises ConfigError where the record cannot be read."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=Loan)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{folder / RECORD} cannot be read ({type(error).__name__}): look at the number's webhook in Twilio's "
            "console, and remove the file"
        ) from None


def keep_loan(folder: Path, loan: Loan) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / RECORD, msgspec.json.encode(loan).decode())
    except OSError as error:
        raise ConfigError(
            f"CALLMOOD_DATA ({folder}) cannot be written ({error.strerror}): name another folder"
        ) from None


def still_runs(loan: Loan) -> bool:
    """Whether the process that borrowed it is alive."""
    try:
        os.kill(loan.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return loan.pid != os.getpid()


@asynccontextmanager
async def borrowed(
    numbers: TwilioNumbers, number: Number, account_sid: str, ours: Webhooks, folder: Path, say: Say
) -> AsyncIterator[None]:
    """The number's calls come to `ours` until the end of the block, however it ends."""
    loan = Loan(number.sid, account_sid, number.webhooks, ours, os.getpid())
    keep_loan(folder, loan)
    try:
        with _patience("Twilio did not answer in time: the number is put back, so start again"):
            await numbers.point(number.sid, ours)
        yield
    finally:
        with trio.CancelScope(shield=True):
            say(await put_back(numbers, loan, folder))


async def put_back(numbers: TwilioNumbers, loan: Loan, folder: Path) -> str:
    """Put the number's webhooks back, in a few attempts; what came of it, as a sentence. Raises CallmoodError."""
    trouble: CallmoodError = CarrierUnavailable("Twilio does not answer")
    with trio.move_on_after(PUT_BACK_S):
        while True:
            try:
                with _patience("Twilio does not answer"):
                    said = await _put_back_once(numbers, loan)
                (folder / RECORD).unlink(missing_ok=True)
                return said
            except CarrierUnavailable as error:
                trouble = error
            except CarrierRefused as error:
                trouble = error
                break
            await trio.sleep(AGAIN_S)
    raise type(trouble)(f"the number still points here, and could not be put back ({trouble}): run callmood dev --undo")


async def _put_back_once(numbers: TwilioNumbers, loan: Loan) -> str:
    now = (await numbers.get(loan.number_sid)).webhooks
    if now == loan.before:
        return "the number is as it was"
    if now.voice_url != loan.ours.voice_url:
        return "somebody has changed the number's webhook meanwhile: it is left alone"
    then = (await numbers.point(loan.number_sid, loan.before)).webhooks
    if then.voice_url != loan.before.voice_url:
        raise CarrierUnavailable("Twilio did not take the address back")
    return f"the number is as it was: {shown(loan.before)}"


def shown(webhooks: Webhooks) -> str:
    """Where calls go, for a person; without a query, which may hold keys."""
    address, _, query = webhooks.voice_url.partition("?")
    return f"{webhooks.voice_method} {address}{'?…' if query else ''}" if address else "nowhere"


@contextmanager
def _patience(sentence: str) -> Iterator[None]:
    """Patience for one step with Twilio; running out of it is CarrierUnavailable."""
    try:
        with trio.fail_after(TRY_S):
            yield
    except trio.TooSlowError:
        raise CarrierUnavailable(sentence) from None
