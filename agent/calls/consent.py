"""Whether this caller may be listened to: one switch, asked wherever something of theirs is about to be used.

It is off until the caller has been told, where a notice is required; and off for good once they have withdrawn their
consent, or analysis has been stopped for another reason. The mailbox asks before it keeps a frame, so that nothing is
inferred of what came before; everyone behind it asks again, because something may be on its way at that moment. Who
holds anything of the caller's says how it is forgotten, and is told in the same instant.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager

import trio

from ..core.emotion import Gated
from ..settings import Settings
from .timeline import Record


def _unrecorded(event: str, **fields: object) -> None:
    """Until somebody keeps a timeline."""


class Consent:
    """One call's."""

    def __init__(self, *, notice_required: bool = False, takes_audio: bool = True, opt_out_key: str = "") -> None:
        self.told = not notice_required
        """The caller knows, or need not be told."""
        self.stopped = False
        """Nothing more is to be inferred in this call."""
        self.withdrawn = False
        """It was the caller who wanted that."""
        self.notice_sent = False
        """The TwiML that leads to our stream says the notice first: a stream that comes is the proof that it was said.
        """
        self.opt_out_key = opt_out_key
        self._takes_audio = takes_audio
        self._record: Record = _unrecorded
        self._forget: list[Callable[[], None]] = []
        self._under_way: set[trio.CancelScope] = set()

    @property
    def listening(self) -> bool:
        """Something may be inferred now."""
        return self.may_listen()

    @property
    def refusal(self) -> Gated:
        """Why a reading is refused while nobody listens."""
        return Gated.STOPPED if self.told else Gated.NO_NOTICE

    def may_listen(self) -> bool:
        """`listening`, for whoever is handed a function."""
        return self._takes_audio and self.told and not self.stopped

    def recorded_by(self, record: Record) -> None:
        """Where its two events go."""
        self._record = record

    def notice_played(self, how: str) -> None:
        """The caller has been told. Being told twice changes nothing."""
        if not self.told:
            self.told = True
            self._record("notice.played", how=how)

    def line_came(self) -> None:
        """Our stream is there: what the TwiML says in front of it has been said."""
        if self.notice_sent:
            self.notice_played("say")

    def withdraw(self, how: str) -> None:
        """The caller does not want it. Said once."""
        self.stop()
        if not self.withdrawn:
            self.withdrawn = True
            self._record("consent.withdrawn", how=how)

    def close(self) -> None:
        """The call is over: it holds nothing any more, and nothing more is said of it."""
        self._forget.clear()
        self._record = _unrecorded

    def on_stop(self, forget: Callable[[], None]) -> None:
        """Have this called, once, when listening stops for good: it throws away what it holds of the caller."""
        if self.stopped:
            forget()
        else:
            self._forget.append(forget)

    def stop(self) -> None:
        """Listen no more. What is under way is broken off, and whatever is held of the caller is thrown away."""
        if self.stopped:
            return
        self.stopped = True
        for scope in self._under_way:
            scope.cancel()
        forget, self._forget = self._forget, []
        with ExitStack() as everyone:  # one that fails keeps no other from forgetting
            for each in forget:
                everyone.callback(each)

    @contextmanager
    def while_listening(self) -> Iterator[None]:
        """What is done in this block is broken off when listening stops, and skipped at its first wait after that."""
        with trio.CancelScope() as scope:
            if self.stopped:
                scope.cancel()
            self._under_way.add(scope)
            try:
                yield
            finally:
                self._under_way.discard(scope)

    async def unless_stopped(self, work: Callable[[], Awaitable[None]]) -> None:
        """The same for a whole actor."""
        with self.while_listening():
            await work()


def consent(settings: Settings) -> Consent:
    """One call's, as the settings want it."""
    off = settings.profile == "off"
    return Consent(
        notice_required=settings.require_notice and not off,
        takes_audio=not off,
        opt_out_key=settings.notice.opt_out_key,
    )
