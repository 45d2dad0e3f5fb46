"""What can really be done to a conversation with these settings: the attach mode's means, and what they need."""

from dataclasses import dataclass

from ..settings import Settings

CONTROL = "Vapi's control URL"
OURS = ("tap", "sip", "bridge")
"""Modes in which the call reaches Vapi through us: there Vapi cannot transfer it, and Twilio does."""


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing to do to a conversation."""

    what: str
    how: str
    lacks: tuple[str, ...] = ()
    """Settings without which it cannot be done."""

    def __str__(self) -> str:
        return f"{self.what}: " + (f"not possible without {' and '.join(self.lacks)}" if self.lacks else self.how)


def abilities(settings: Settings) -> tuple[Ability, ...]:
    """Silent context, stopping the assistant's speech, and transfer, in this order."""
    if settings.profile != "acoustic":
        nothing = f"nothing, as CALLMOOD_PROFILE is {settings.profile}"
        return tuple(Ability(what, nothing) for what in ("silent context", "stopping the assistant", "transfer"))
    return silent_context(settings), stopping(settings), transfer(settings)


def silent_context(settings: Settings) -> Ability:
    if settings.llm_base_url and settings.llm_key:
        return Ability("silent context", "in every prompt that comes through the gateway")
    # In tap the answer to the new call brings the control URL; elsewhere Vapi's messages do, once they are believed.
    known = settings.vapi_secret or (settings.attach == "tap" and settings.vapi_api_key)
    return Ability("silent context", f"a note over {CONTROL}", () if known else ("VAPI_SECRET",))


def stopping(settings: Settings) -> Ability:
    lacks = () if settings.vapi_secret else ("VAPI_SECRET",)  # without its messages nobody knows when it speaks
    if settings.relays:
        return Ability("stopping the assistant", "at once, with Twilio's clear")
    return Ability("stopping the assistant", f"another sentence in its place, over {CONTROL}", lacks)


def transfer(settings: Settings) -> Ability:
    needed = ("twilio_account_sid", "twilio_auth_token") if settings.attach in OURS else ("vapi_secret",)
    how = "an update of the call at Twilio" if settings.attach in OURS else CONTROL
    lacks = [name.upper() for name in needed if not getattr(settings, name)]
    lacks += [] if settings.transfer_to else ["CALLMOOD_TRANSFER_TO"]
    return Ability("transfer to a human", how, tuple(lacks))
