"""Simulators: everything outside of Callmood, on this machine, without accounts.

They are part of the product, so that a demo, a benchmark and a test meet the same Twilio and the same Vapi, and each
can be made to fail on demand. All of them run on Trio's clock, and speak to loopback unless they are given another
address.
"""

from .assistants import RecordingAssistant, Told
from .engines import ScriptedEngine
from .fake_llm import FakeLLM
from .fake_twilio import FakeTwilio, LiveCall
from .fake_vapi import PRIVATE_KEY, ControlMessage, FakeVapi, Refused
from .faults import Fault
from .lines import ScriptedLine
from .pace import Pace
from .sockets import Closed, HandshakeRefused
from .twilio_caller import CallResult, Placed, TwilioCaller
from .twilio_stream import CallerStream, Received
from .vapi_call import FakeCall, Hook, Turn
from .vapi_listen import ListenSocket
from .vapi_transport import Transport

__all__ = [
    "PRIVATE_KEY",
    "CallResult",
    "CallerStream",
    "Closed",
    "ControlMessage",
    "FakeCall",
    "FakeLLM",
    "FakeTwilio",
    "FakeVapi",
    "Fault",
    "HandshakeRefused",
    "Hook",
    "ListenSocket",
    "LiveCall",
    "Pace",
    "Placed",
    "Received",
    "RecordingAssistant",
    "Refused",
    "ScriptedEngine",
    "ScriptedLine",
    "Told",
    "Transport",
    "Turn",
    "TwilioCaller",
]
