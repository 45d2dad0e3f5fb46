"""What a TwiML says first, and whether it asks for the caller's audio: decided once, for every way in.

Twilio goes through the verbs of a TwiML in order, and begins a stream when it comes to it: a stream that connects has
the `<Say>` in front of it behind it (https://www.twilio.com/docs/voice/twiml/say).
"""

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from .twiml import inside_root


@dataclass(frozen=True, slots=True)
class Notice:
    """What the caller is told. Language and voice as in `<Say>`; empty: Twilio's own."""

    text: str
    language: str = ""
    voice: str = ""


def asks_for(twiml: str, stream_url: str) -> bool:
    """Whether the caller's audio is to go to this address."""
    return any(stream.get("url") == stream_url for stream in ET.fromstring(twiml).iter("Stream"))


def say_first(twiml: str, notice: Notice) -> str:
    """The same TwiML with the notice in front of everything; else as it was, to the byte."""
    named = {"language": notice.language, "voice": notice.voice}
    say = ET.Element("Say", {name: value for name, value in named.items() if value})
    say.text = notice.text
    inside = inside_root(twiml)
    return twiml[:inside] + ET.tostring(say, encoding="unicode") + twiml[inside:]


def without_fork(twiml: str, stream_url: str) -> str:
    """The same TwiML without the `<Start>` that forks the caller's audio to this address; else as it was, to the byte.
    A stream that is the call's own media path stays."""
    inside = inside_root(twiml)
    for start in re.finditer(r"<Start>.*?</Start>", twiml[inside:], re.DOTALL):
        if asks_for(start.group(), stream_url):
            return twiml[:inside] + twiml[inside + start.end() :] if start.start() == 0 else twiml
    return twiml
