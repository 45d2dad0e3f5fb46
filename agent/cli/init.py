"""callmood init: a few questions, then `.env`, the config, and what to click next."""

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from .questions import MODES, QUESTIONS, Question, is_asked

Ask = Callable[[str, str, bool], str]
"""Prompt, default and whether it is hidden, to an answer."""

KEEP = "keep what is there"
MODE = "CALLMOOD_ATTACH"
GENERATED = ("CALLMOOD_TOKEN", "VAPI_SECRET")
GATEWAY_KEY = "CALLMOOD_LLM_KEY"


def init(
    attach: Annotated[str, typer.Option(help=f"The way in: {', '.join(MODES)}.")] = "",
    twilio_account_sid: Annotated[str, typer.Option(help="AC and 32 digits.")] = "",
    vapi_assistant_id: Annotated[str, typer.Option(help="Who speaks with the caller.")] = "",
    vapi_phone_number_id: Annotated[str, typer.Option(help="The number's id at Vapi.")] = "",
    vapi_sip_uri: Annotated[str, typer.Option(help="The assistant's SIP address, for sip.")] = "",
    webhook_url: Annotated[str, typer.Option(help="Your public https address.")] = "",
    transfer_to: Annotated[str, typer.Option(help="Number or SIP address of a human.")] = "",
    llm_base_url: Annotated[str, typer.Option(help="Your model's address, for the gateway.")] = "",
    llm_model: Annotated[str, typer.Option(help="Your model's name, for the gateway.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite other values in .env without asking.")] = False,
) -> None:
    """Ask a few questions and write `.env` and the config. Secrets are typed, or come from the environment."""
    options = {
        "CALLMOOD_ATTACH": attach,
        "TWILIO_ACCOUNT_SID": twilio_account_sid,
        "VAPI_ASSISTANT_ID": vapi_assistant_id,
        "VAPI_PHONE_NUMBER_ID": vapi_phone_number_id,
        "VAPI_SIP_URI": vapi_sip_uri,
        "WEBHOOK_URL": webhook_url,
        "CALLMOOD_TRANSFER_TO": transfer_to,
        "LLM_BASE_URL": llm_base_url,
        "LLM_MODEL": llm_model,
    }
    from ..config_sources import load, read_dotenv

    folder = Path.cwd()
    there = read_dotenv(folder / ".env")
    given = {name: value for name, value in options.items() if value}
    given |= {q.name: os.environ[q.name] for q in QUESTIONS if q.name not in given and os.environ.get(q.name)}
    if MODE not in given and os.environ.get(MODE):
        given[MODE] = os.environ[MODE]
    new = interview(given, there, prompt) if sys.stdin.isatty() else from_script(given, there, replace=replace)
    new |= made_up({**there, **new})
    load({**there, **new}, folder=folder)  # nothing is written that would not be read
    for line in (
        *write(folder, new, gateway=bool({**there, **new}.get("LLM_BASE_URL"))),
        *warnings(folder),
        *next_steps({**there, **new}),
    ):
        typer.echo(line)


def prompt(text: str, default: str, hidden: bool) -> str:
    """Ask on the terminal; hidden answers do not show."""
    answer = typer.prompt(text, default=default, hide_input=hidden, show_default=bool(default))
    return str(answer).strip()


def interview(given: Mapping[str, str], there: Mapping[str, str], ask: Ask) -> dict[str, str]:
    """The answers of a person. What is in `.env` is kept unless another answer is typed; secrets are never shown."""
    mode = settled(MODE, given.get(MODE, ""), there.get(MODE, ""), ask)
    while mode not in MODES:
        typer.echo("How do calls come in?" if not mode else f"There is no mode {mode}.")
        for name, what in MODES.items():
            typer.echo(f"  {name:<7} {what}")
        mode = ask("Mode", there.get(MODE, "tap"), False)
    new = {MODE: mode}
    for question in QUESTIONS:
        if mode not in question.modes or not is_asked(question, {**there, **new}):
            continue
        if answer := one_answer(question, mode, given.get(question.name, ""), there.get(question.name, ""), ask):
            new[question.name] = answer
    return new


def one_answer(question: Question, mode: str, given: str, there: str, ask: Ask) -> str:
    """An answer that fits, empty where nothing is to be written."""
    if given and not question.why_not(given):
        return settled(question.name, given, there, ask)
    default = KEEP if there and question.secret else there
    while True:
        answer = ask(question.prompt, default, question.secret)
        if answer in (KEEP, there) and there:
            return ""
        if not answer and (mode not in question.needed):
            return ""
        if not (wrong := question.why_not(answer)):
            return answer
        typer.echo(f"  {wrong}.")


def settled(name: str, given: str, there: str, ask: Ask) -> str:
    """What an option or the environment says; where `.env` says something else, the user does."""
    if not given or given == there or not there:
        return given
    answer = ask(f".env has another {name}: replace it? (yes or no)", "no", False)
    return given if answer.lower().startswith("y") else there


def from_script(given: Mapping[str, str], there: Mapping[str, str], *, replace: bool) -> dict[str, str]:
    """The answers of options and environment, where nobody is there to ask. Raises ConfigError for what is missing."""
    from ..errors import ConfigError

    mode = given.get(MODE) or there.get(MODE, "")
    if not mode:
        raise ConfigError(f"nobody is there to ask (no terminal): give --attach, one of {', '.join(MODES)}")
    if mode not in MODES:
        raise ConfigError(f"--attach must be one of {', '.join(MODES)}, not {mode!r}")
    asked = [q for q in QUESTIONS if mode in q.modes]
    missing = [q.option for q in asked if mode in q.needed and not (given.get(q.name) or there.get(q.name))]
    if missing:
        raise ConfigError(f"nobody is there to ask (no terminal), and {mode} needs {', '.join(missing)}: give them")
    new = {MODE: mode, **{q.name: given[q.name] for q in asked if q.name in given}}
    for question in asked:
        if wrong := question.name in new and question.why_not(new[question.name]):
            raise ConfigError(str(wrong))
    other = [name for name, value in new.items() if there.get(name) not in (None, "", value)]
    if other and not replace:
        raise ConfigError(f".env has another {', '.join(other)}: say --replace to overwrite")
    return new


def made_up(known: Mapping[str, str]) -> dict[str, str]:
    """Secrets that nobody has to think of: made here where there are none yet."""
    names = [*GENERATED, *([GATEWAY_KEY] if known.get("LLM_BASE_URL") else [])]
    return {name: secrets.token_urlsafe(24) for name in names if not known.get(name)}


def write(folder: Path, new: Mapping[str, str], *, gateway: bool) -> list[str]:
    """Write `.env`, and the config files that are missing; what was done, a line each. Raises ConfigError."""
    from ..dotenv import replace_file, with_values
    from ..errors import ConfigError
    from ..packaged import ASSISTANT, GATEWAY_ASSISTANT, NAMES, default_text

    env = folder / ".env"
    done = []
    try:
        before = env.read_text("utf-8") if env.exists() else ""
        after = with_values(before, new)
        replace_file(env, after)
        names = " ".join(new)
        done.append(f"wrote .env, for your eyes only: {names}" if after != before else ".env is as it was")
        for name in (*NAMES, GATEWAY_ASSISTANT if gateway else ASSISTANT):
            path, text = folder / "config" / name, default_text(name)
            if text is not None and not path.exists():
                path.parent.mkdir(exist_ok=True)
                with path.open("x", encoding="utf-8") as file:  # never through a link that leads nowhere yet
                    file.write(text)
                done.append(f"wrote config/{name}")
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be written ({error.strerror}): make the folder writable") from None
    return done


def warnings(folder: Path) -> list[str]:
    """What would put the secrets where others see them."""
    import subprocess

    try:
        git = subprocess.run(
            ["git", "check-ignore", "--quiet", ".env"], cwd=folder, capture_output=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if git.returncode != 1:  # 0: ignored; 128: no repository
        return []
    mend = "echo .env >> .gitignore && git rm --cached --quiet --ignore-unmatch .env"
    return [f"warning: git does not ignore .env, and your keys would be committed with it: {mend}"]


def next_steps(known: Mapping[str, str]) -> list[str]:
    """What is left to do elsewhere, in the order in which to do it."""
    url = known.get("WEBHOOK_URL", "").rstrip("/") or "https://YOUR-ADDRESS"
    file = "vapi-assistant-gateway.json" if known.get("LLM_BASE_URL") else "vapi-assistant.json"
    messages = f"its server messages those of config/{file}"
    steps = {
        "tap": [voice_step(url)],
        "sip": [voice_step(url), "Vapi, Phone Numbers: the SIP address has your assistant as its assistant."],
        "bridge": [voice_step(url)],
        "fork": ["Vapi, Phone Numbers, Import from Twilio: import the number, and give it your assistant."],
        "listen": ["Vapi, Assistants, your assistant, Advanced: monitoring (listen and control) is on."],
    }[known[MODE]]
    steps.append(
        f"Vapi, Assistants, your assistant, Server URL: {url}/webhook/vapi with the header X-Vapi-Secret, whose value "
        f"is VAPI_SECRET in .env; {messages}."
    )
    if known.get("LLM_BASE_URL"):
        steps.append(
            f"Vapi, Assistants, your assistant, Model: Custom LLM, {url}/llm, with CALLMOOD_LLM_KEY of .env as its key."
        )
    steps.append("callmood doctor says what is still missing.")
    local = "callmood dev opens a tunnel and points your number here; with an address of your own, callmood serve."
    steps.append(local if known[MODE] in ("tap", "sip", "bridge") else "callmood dev opens a tunnel and serves.")
    return ["", "Next:", *(f"  {number}. {step}" for number, step in enumerate(steps, 1))]


def voice_step(url: str) -> str:
    return (
        f"Twilio, Phone Numbers, your number, Voice: a call comes in: Webhook, POST {url}/voice/incoming; call status "
        f"changes: {url}/twilio/call-status. (callmood dev does this for you, and undoes it.)"
    )
