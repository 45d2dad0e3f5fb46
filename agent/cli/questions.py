"""What a user is asked for, mode by mode: one table for `init`, which asks, and `doctor`, which looks."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

MODES = {
    "tap": "Vapi speaks with the caller, and Callmood listens beside it; your number's webhook points here",
    "fork": "your number is imported into Vapi; Callmood starts a stream beside each call",
    "sip": "your number's webhook points here, and the call goes on to Vapi's SIP address",
    "listen": "no Twilio: Callmood reads Vapi's listen address",
    "bridge": "the audio goes through Callmood, which carries it to Vapi; without Vapi it only listens",
}
WEBHOOK_MODES = ("tap", "sip", "bridge")
"""Modes in which the number's voice webhook is ours."""

_ALL = tuple(MODES)
_TWILIO = ("tap", "fork", "sip", "bridge")
_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_SIP = r"sips?:[^\s@]+@\S+"


@dataclass(frozen=True, slots=True)
class Question:
    """One setting that a user brings along."""

    name: str
    """In the environment."""
    prompt: str
    modes: tuple[str, ...]
    needed: tuple[str, ...]
    """Modes that do nothing without it."""
    pattern: str
    looks_like: str
    where: str
    secret: bool = False

    @property
    def option(self) -> str:
        """How a script gives the answer. Secrets come only from the environment: others can see a command line."""
        if self.secret:
            return self.name
        return "--" + self.name.removeprefix("CALLMOOD_").lower().replace("_", "-")

    def fits(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text, re.ASCII) is not None

    def why_not(self, text: str) -> str:
        """What is wrong with an answer, without repeating it; empty: nothing."""
        return "" if self.fits(text) else f"{self.name} looks like {self.looks_like}: {self.where}"


QUESTIONS = (
    Question(
        "TWILIO_ACCOUNT_SID",
        "Twilio account SID",
        _TWILIO,
        ("fork",),
        r"AC[0-9a-fA-F]{32}",
        "AC and 32 digits",
        "it stands on the first page of console.twilio.com",
    ),
    Question(
        "TWILIO_AUTH_TOKEN",
        "Twilio auth token",
        _TWILIO,
        _TWILIO,
        r"[!-~]{16,128}",
        "32 letters and digits",
        "it stands on the first page of console.twilio.com; an API key will not do",
        secret=True,
    ),
    Question(
        "VAPI_API_KEY",
        "Vapi private key",
        ("tap", "bridge"),
        ("tap",),
        r"[!-~]{16,256}",
        "a long text without spaces",
        "it is the private one under API Keys in dashboard.vapi.ai",
        secret=True,
    ),
    Question(
        "VAPI_ASSISTANT_ID",
        "Vapi assistant id",
        ("tap", "bridge"),
        ("tap",),
        _UUID,
        "a UUID",
        "it stands under the assistant's name in dashboard.vapi.ai",
    ),
    Question(
        "VAPI_PHONE_NUMBER_ID",
        "Vapi phone number id",
        ("tap",),
        ("tap",),
        _UUID,
        "a UUID",
        "it stands under the number in dashboard.vapi.ai",
    ),
    Question(
        "VAPI_SIP_URI",
        "Vapi SIP address",
        ("sip",),
        ("sip",),
        _SIP,
        "sip:NAME@sip.vapi.ai",
        "make one under Phone Numbers in dashboard.vapi.ai",
    ),
    Question(
        "WEBHOOK_URL",
        "Public https address (empty: callmood dev makes one)",
        _ALL,
        (),
        r"https://[^\s/@?#]+/?",
        "https://calls.example.com",
        "it is where the network reaches this machine, without a path",
    ),
    Question(
        "CALLMOOD_TRANSFER_TO",
        "Number or SIP address of a human (empty: nobody)",
        _ALL,
        (),
        r"\+[1-9]\d{6,14}|" + _SIP,
        "+15550100100 or sip:desk@example.com",
        "write it with its country code",
    ),
    Question(
        "LLM_BASE_URL",
        "Address of your model, with its /v1, to have the mood in every prompt (empty: no gateway)",
        _ALL,
        (),
        r"https?://[^\s@]+",
        "https://api.openai.com/v1",
        "any OpenAI-compatible server will do",
    ),
    Question(
        "LLM_API_KEY",
        "Key of your model",
        _ALL,
        (),
        r"[!-~]{1,512}",
        "a text without spaces",
        "ask whoever runs the model",
        secret=True,
    ),
    Question(
        "LLM_MODEL",
        "Name of your model (empty: as Vapi asks)",
        _ALL,
        (),
        r"[!-~]{1,200}",
        "gpt-4.1-mini",
        "it is what the model's server calls it",
    ),
    Question(
        "HUME_API_KEY",
        "Hume API key",
        _ALL,
        (),
        r"[!-~]{16,256}",
        "a long text without spaces",
        "it stands under API keys at cloud.hume.ai",
        secret=True,
    ),
)

ASKED_WITH_A_GATEWAY = ("LLM_API_KEY", "LLM_MODEL")
ENGINE = "CALLMOOD_ENGINE"
ASKED_WITH_AN_ENGINE = {"HUME_API_KEY": ("hume", "hybrid")}


def is_asked(question: Question, known: Mapping[str, str]) -> bool:
    """Whether an answer would be of use, with these answers given already."""
    if question.name in ASKED_WITH_A_GATEWAY:
        return bool(known.get("LLM_BASE_URL"))
    engine = os.environ.get(ENGINE) or known.get(ENGINE, "local")
    return engine in ASKED_WITH_AN_ENGINE.get(question.name, (engine,))
