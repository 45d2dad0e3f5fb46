"""The files a user starts from. They lie in `agent/defaults`; in a checkout some of them are links into `config`."""

from importlib.resources import files

NAMES = ("callmood.toml", "rules.toml")
"""What belongs into every user's `config` folder."""
ASSISTANT, GATEWAY_ASSISTANT = "vapi-assistant.json", "vapi-assistant-gateway.json"
"""An assistant that asks for the messages we use; with its model behind the gateway."""


def default_text(name: str) -> str | None:
    """The text of one of them; None where this installation has none."""
    packaged = files("agent") / "defaults" / name
    return packaged.read_text("utf-8") if packaged.is_file() else None
