"""What the load sends is, to the letter, what the simulated Twilio says; and a WebSocket library reads it."""

from base64 import b64decode

import msgspec
import numpy as np
import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from agent.bench import frames
from agent.core import mulaw
from agent.core.audio import SAMPLES_PER_MS
from agent.testing import twilio_messages as messages

SIDS = ("MZ" + "0123456789abcdef" * 2, "MZ" + "f" * 32)


def filled(chunks: list[int]) -> frames.Rows:
    sids = np.frombuffer("".join(SIDS).encode(), np.uint8).reshape(2, -1)
    who = np.arange(len(chunks)) % 2
    sounds = frames.conversation()[: len(chunks)]
    return frames.fill(np.array(chunks), sids[who], sounds, np.random.default_rng(1))


def row(rows: frames.Rows, place: int) -> bytes:
    return bytes(rows.data[place * rows.stride : place * rows.stride + rows.size])


def read(data: bytes) -> list[TextMessage]:
    """As a server reads it: it raises for whatever is not RFC 6455."""
    server = Connection(ConnectionType.SERVER)
    server.receive_data(data)
    return [event for event in server.events() if isinstance(event, TextMessage)]


@pytest.mark.parametrize("first", [1, 9, 10, 98, 99, 100, 500, 501, 998, 999, 5000, 5001, 9999, 50_001, 180_000])
def test_every_message_is_what_twilio_would_say(first: int) -> None:
    rows = filled([first, first])
    for place in (0, 1):
        [message] = read(row(rows, place))
        sound = b64decode(bytes(frames.conversation()[place]))
        assert message.message_finished
        assert message.data == messages.media(SIDS[place], first + 1, first, 20 * (first - 1), sound)


def test_rows_of_different_chunks_stand_side_by_side_and_are_read_as_one_stream() -> None:
    rows = filled([510, 511, 512])
    said = read(b"".join(row(rows, place) for place in range(3)))
    assert [msgspec.json.decode(message.data)["media"]["chunk"] for message in said] == ["510", "511", "512"]


def test_digits_change_where_it_is_said_and_nowhere_else() -> None:
    digits = [frames.digits_of(chunk) for chunk in range(1, 60_001)]
    changed = [chunk for chunk in range(2, 60_001) if digits[chunk - 1] != digits[chunk - 2]]
    assert changed == [chunk for chunk in frames.CHANGES.tolist() if 1 < chunk <= 60_000]


def test_every_message_has_a_key_of_its_own_and_is_masked_with_it() -> None:
    rows = filled([700, 700, 701])
    keys = {row(rows, place)[4:8] for place in range(3)}
    assert len(keys) == 3
    assert all(b"media" not in row(rows, place) for place in range(3))


def test_the_talk_holds_speech_and_pauses_as_a_call_does() -> None:
    talk = frames.conversation()
    loud = np.array([np.abs(mulaw.decode(b64decode(bytes(frame))).astype(int)).max() > 1000 for frame in talk])
    assert len(talk) * 20 * SAMPLES_PER_MS > 60 * 8000
    assert 0.3 < loud.mean() < 0.8
    assert not loud[-100:].any(), "it ends in a pause"
