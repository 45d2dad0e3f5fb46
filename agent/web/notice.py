"""The last look at a TwiML before Twilio gets it: is the caller told first, and is their audio asked for at all?

Every way in passes here, so that none can forget it.
"""

from ..calls.call import Call
from ..settings import Settings
from ..telephony.notice import Notice, asks_for, say_first, without_fork
from ..telephony.twiml import Fallback, fallback_only


def as_agreed(twiml: str, call: Call, stream_url: str, settings: Settings, fallback: Fallback) -> str:
    """The TwiML for this call as profile and notice want it. `stream_url`: where its stream would go."""
    if settings.profile == "off":
        return _without_audio(twiml, call, stream_url, fallback)
    if not settings.require_notice or not asks_for(twiml, stream_url):
        return twiml
    call.consent.notice_sent = True
    return say_first(twiml, notice(settings))


def _without_audio(twiml: str, call: Call, stream_url: str, fallback: Fallback) -> str:
    """No stream, but for one that is the caller's way to the assistant."""
    twiml = without_fork(twiml, stream_url)
    if call.relay is not None:
        return twiml
    call.awaits_audio = False
    return fallback_only(fallback) if asks_for(twiml, stream_url) else twiml


def notice(settings: Settings) -> Notice:
    """What is said. Only in bridge mode does a key reach us, so only there is one named."""
    said, key = settings.notice, settings.notice.opt_out_key
    by_key = said.opt_out.replace("{key}", key) if key and settings.attach == "bridge" else ""
    return Notice(f"{said.text} {by_key}".strip(), said.language, said.voice)
