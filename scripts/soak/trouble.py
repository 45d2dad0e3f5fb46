"""What can go wrong with one call, drawn by lot: the same seed and number always draw the same. Nothing happens here.

A call's faults are its carrier's, its network's and its assistant's, never ours. Some of them end it: the caller hangs
up, in a tidy way or not, or talks nonsense until we close the line. Everything else it has to survive.
"""

import random
from dataclasses import dataclass
from typing import Literal

from agent.testing import Fault, Pace

Ending = Literal["stop", "close", "reset", "silent", "babble", "oversize"]
"""How it ends. `silent`: half-open, as behind a tunnel. `babble`: more unreadable messages than we put up with.
`oversize`: one message larger than any of Twilio's."""
Second = Literal["", "spent", "takeover", "mute", "stranger"]
"""Another socket in the middle of the call: with the token that is used already; with the token of a webhook that was
repeated, which takes the call over; one that never says a word; one for a call that does not exist."""

ASSISTANTS: dict[str, Fault | None] = {
    "sound": None,
    "stall": Fault("stall"),
    "slow": Fault("delay", seconds=1.2),
    "busy": Fault("status", status=429, retry_after=1),
    "broken": Fault("status", status=500),
    "gone": Fault("status", status=404),
    "refusing": Fault("status", status=401),
    "reset": Fault("reset"),
    "garbage": Fault("garbage"),
    "absent": Fault("refuse"),
}
"""The platforms a call's assistant may be at, and what is wrong with each."""
NOBODY, ELSEWHERE = "nobody", "elsewhere"
"""No assistant at all; one whose control address we must not post to."""

NONSENSE: tuple[str | bytes, ...] = (
    "",
    "{",
    "null",
    "[]",
    '"media"',
    "{}",
    '{"event":17}',
    '{"event":"media"}',
    '{"event":"something new","streamSid":"MZ0"}',
    '{"event":"connected","protocol":"Call","version":"1.0.0"}',
    '{"event":"media","sequenceNumber":"x","media":{"payload":"????"},"streamSid":"MZ0"}',
    '{"event":"stop","sequenceNumber":"9","streamSid":"MZ of another stream"}',
    '{"event":"media","sequenceNumber":"-1","media":{"track":"inbound","chunk":"1","timestamp":"1e9","payload":""}}',
    "[" * 2000,
    "\N{FACE WITH HEAD-BANDAGE}" * 100,
    b"\x00\xff\xfe",
    b"",
)
BABBLE = 80
OVERSIZE = 70_000
MOST_NONSENSE = 20


@dataclass(frozen=True, slots=True)
class Trouble:
    """One call's lot."""

    number: int
    start_s: float
    """Where in the recording it begins."""
    parts_s: tuple[float, ...]
    """It is spoken in these parts."""
    holds_s: tuple[float, ...]
    """Before each part the network holds everything back for so long; then it comes at once."""
    pace: Pace
    nonsense: tuple[str | bytes, ...]
    """Unreadable messages in its middle."""
    second: Second
    rings_before: int
    """Times the webhook is repeated before the stream is opened."""
    rings_late: bool
    """It is repeated in the middle of the call, and no stream follows."""
    ending: Ending
    told: bool
    """Whether the carrier's callbacks tell of the end."""
    tells_twice: bool
    assistant: str
    junk: bool
    """Whether Vapi's server messages are mixed with unreadable ones."""

    @property
    def found_out_later(self) -> bool:
        """Nobody tells us that it is over: the line has to go quiet first."""
        return not self.told and (self.ending == "silent" or self.rings_late)

    @property
    def outcome(self) -> str:
        return "quiet" if self.ending == "silent" and not self.told else "hangup"

    @property
    def ours_to_close(self) -> bool:
        """Whether it is we who close the line, and rightly so."""
        return self.ending in ("babble", "oversize")

    @property
    def brief(self) -> bool:
        """Whether it is over within a few seconds: nothing in it has to be waited for."""
        return self.second != "mute" and not self.found_out_later

    def __str__(self) -> str:
        more = [
            f"talks {sum(self.parts_s):.1f} s, held back {sum(self.holds_s):.1f} s",
            f"loss {self.pace.loss:.0f} %, jitter {self.pace.jitter_ms:.0f} ms",
            f"{len(self.nonsense)} unreadable",
            f"second socket {self.second or 'none'}",
            f"webhook +{self.rings_before}{' and late' if self.rings_late else ''}",
            f"assistant {self.assistant}",
            f"ends by {self.ending}, {'told' if self.told else 'untold'}",
        ]
        return f"call {self.number}: {'; '.join(more)}"


def draw(seed: int, number: int) -> Trouble:
    """The lot of one call."""
    lot = random.Random(f"{seed} {number}")
    second: Second = lot.choices(("", "spent", "takeover", "mute", "stranger"), (5, 1, 2, 1, 1))[0]
    return Trouble(
        number=number,
        start_s=lot.uniform(0, 10),
        parts_s=(lot.uniform(0.3, 1.5), lot.uniform(0.3, 1.5)),
        holds_s=(lot.choice((0.0, 0.0, 0.3)), lot.choice((0.0, lot.uniform(0.2, 1.2)))),
        pace=Pace(
            loss=lot.choice((0.0, 1.0, 10.0, 40.0)), jitter_ms=lot.choice((0.0, 20.0, 200.0)), seed=lot.getrandbits(32)
        ),
        nonsense=tuple(lot.choice(NONSENSE) for _ in range(lot.choice((0, 0, 1, 5, MOST_NONSENSE)))),
        second=second,
        rings_before=lot.choice((0, 0, 0, 1, 3)),
        rings_late=second != "takeover" and lot.random() < 0.15,
        ending=lot.choices(("stop", "close", "reset", "silent", "babble", "oversize"), (5, 3, 3, 3, 1, 1))[0],
        told=lot.random() < 0.7,
        tells_twice=lot.random() < 0.2,
        assistant=lot.choice((*ASSISTANTS, NOBODY, ELSEWHERE)),
        junk=lot.random() < 0.2,
    )
