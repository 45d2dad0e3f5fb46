"""What we say on a Twilio media stream (https://www.twilio.com/docs/voice/media-streams/websocket-messages)."""

import msgspec

# Fields in the documented order, and none beside them: an extra field is Twilio's warning 31951.
_write = msgspec.json.Encoder().encode


def clear(stream_sid: str) -> str:
    """Drop all audio of ours that has not been played yet; Twilio then returns every outstanding mark."""
    return _write({"event": "clear", "streamSid": stream_sid}).decode()


def mark(stream_sid: str, name: str) -> str:
    """Ask to be told (`MarkPlayed`) when everything sent so far has been played."""
    return _write({"event": "mark", "streamSid": stream_sid, "mark": {"name": name}}).decode()


def media(stream_sid: str, payload: bytes) -> str:
    """Play this mu-law, of any length, after what is already queued. No file header: it would be heard."""
    return _write({"event": "media", "streamSid": stream_sid, "media": {"payload": payload}}).decode()
