"""The supervisor's pages as files: what they name is there, and nothing in them can run what somebody else sent."""

import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from quart_trio import QuartTrio

from agent.core.emotion import ANGER, LABELS
from agent.rulefile import shipped
from agent.settings import Settings
from agent.testing.made_wall import TOKEN, MadeWall
from agent.web import live
from agent.web.live import document, routes, served

STATIC = "/live/static/"
FOLDER = files(live)
PHYSICAL = ["index.html, physical", "call.html, physical"]
PAGES = ["index.html", "call.html", *PHYSICAL]
OWN = sorted(name for name, path in served().items() if not path.startswith("vendor/"))
SCRIPTS = [name for name in OWN if name.endswith(".js")]
STYLES = [name for name in OWN if name.endswith(".css")]
CONTENT_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
EMOTION_WORDS = re.compile("|".join([*LABELS, "anger", "escalation"]), re.IGNORECASE)


class Tags(HTMLParser):
    """Every start tag with its attributes, and the text inside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is not None:
            self.inline += data.strip()


def text_of(name: str) -> str:
    if name in PAGES:
        return document(name.partition(",")[0], physical=name in PHYSICAL)
    return (FOLDER / served().get(name, name)).read_text(encoding="utf-8")


def imported_by(script: str) -> set[str]:
    """A script and all that it needs, however deep."""
    found, look = {script}, [script]
    while look:
        new = set(re.findall(r'from "\./([^"]+)"', text_of(look.pop()))) - found
        found |= new
        look += new
    return found


def named_by(page: str) -> set[str]:
    """The files that a page asks for, and those which its scripts import."""
    tags = Tags(text_of(page))
    addresses = {
        attrs[key] or "" for tag, attrs in tags.found for key in ("src", "href") if key in attrs and tag != "a"
    }
    assert all(address.startswith(STATIC) for address in addresses)
    names = {address.removeprefix(STATIC) for address in addresses}
    return names.union(*(imported_by(name) for name in names if name in SCRIPTS))


def files_app() -> QuartTrio:
    app = QuartTrio(__name__)
    app.register_blueprint(routes)
    return app


@pytest.mark.parametrize("page", PAGES)
async def test_every_file_a_page_names_is_served_with_its_content_type_and_the_strict_policy(page: str) -> None:
    client = files_app().test_client()
    assert "live.css" in named_by(page)
    for name in named_by(page):
        reply = await client.get(STATIC + name)
        assert reply.status_code == 200, name
        assert reply.content_type.partition(";")[0] == CONTENT_TYPES[name.rpartition(".")[2]], name
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert "unsafe" not in reply.headers["Content-Security-Policy"]


async def test_nothing_else_of_the_folder_is_served() -> None:
    client = files_app().test_client()
    for name in ("__init__.py", "index.html", "..%2faccess.py", "nothing.js", "vendor", "LICENSE", "SHA256SUMS"):
        assert (await client.get(STATIC + name)).status_code == 404, name


def test_no_file_lies_in_the_folder_that_no_page_uses() -> None:
    assert set(served()) == set().union(*map(named_by, PAGES))


def test_what_is_not_ours_is_exactly_what_its_makers_published() -> None:
    folder = FOLDER / "vendor" / "uplot"
    sums = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {entry.name for entry in folder.iterdir()} - {"SHA256SUMS", "VERSION"}
    for name, checksum in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum, name
    assert (folder / "LICENSE").read_text().startswith("The MIT License")
    assert f"(v{(folder / 'VERSION').read_text().strip()})" in (folder / "uPlot.iife.min.js").read_text()[:80]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_inline_script_style_or_handler(page: str) -> None:
    tags = Tags(text_of(page))
    assert tags.inline == ""
    for tag, attrs in tags.found:
        assert tag != "style"
        assert tag != "script" or "src" in attrs
        assert not [name for name in attrs if name == "style" or name.startswith("on")], tag


@pytest.mark.parametrize("page", PAGES)
def test_every_element_that_a_script_looks_for_is_on_its_page(page: str) -> None:
    ids = [attrs["id"] for _, attrs in Tags(text_of(page)).found if "id" in attrs]
    assert len(ids) == len(set(ids))
    scripts = [name for name in named_by(page) if name in SCRIPTS]
    wanted = {name for script in scripts for name in re.findall(r'\$\("([^"]+)"\)', text_of(script))}
    assert wanted <= set(ids)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_puts_in_text_and_never_markup_or_code_and_fits_its_page(script: str) -> None:
    source = text_of(script)
    for way_in in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "setHTML", "DOMParser", "srcdoc"):
        assert way_in not in source
    assert not re.search(r"createContextualFragment|\beval\(|new Function|javascript:|import\(", source)
    assert source.count("\n") < 200


@pytest.mark.parametrize("name", [*SCRIPTS, *STYLES, *PAGES])
def test_nothing_comes_from_elsewhere(name: str) -> None:
    addresses = re.findall(r"""["'(=]\s*((?:https?|wss?):)?//[\w.-]""", text_of(name))
    allowed = text_of(name).count("http://www.w3.org/2000/svg")  # a name, not an address
    assert len(addresses) == allowed


@pytest.mark.parametrize("page", PHYSICAL)
def test_where_nobodys_feelings_are_judged_no_file_that_is_loaded_names_one(page: str) -> None:
    for name in {page, *named_by(page)} - {"uplot.js", "uplot.css"}:
        assert EMOTION_WORDS.search(text_of(name)) is None, name


def test_the_dark_and_motion_are_as_the_reader_wishes() -> None:
    for wish in ("prefers-color-scheme: dark", "prefers-reduced-motion"):
        assert wish in text_of("live.css")


@pytest.mark.parametrize(("engine", "window"), [("local", "3.0"), ("hume", "10.0")])
async def test_the_page_is_told_which_readings_count_together_and_from_where_on_a_rule_acts(
    engine: str, window: str
) -> None:
    wall = MadeWall({})
    wall.settings = Settings(engine=engine, act_at=0.8)
    reply = await wall.app().test_client().get("/live", headers={"Authorization": f"Bearer {TOKEN}"})
    [body] = [attrs for tag, attrs in Tags(await reply.get_data(as_text=True)).found if tag == "body"]
    lowest = min(rule.at_least for rule in shipped(0.8).rules if rule.emotions & ANGER)
    assert (body["data-window-s"], body["data-act-at"]) == (window, str(lowest))


def test_a_screen_reader_is_told_of_alarms_and_of_the_connection_politely() -> None:
    for page in PAGES:
        spoken = {attrs.get("id") for _, attrs in Tags(text_of(page)).found if attrs.get("role") == "status"}
        assert spoken == {"said", "link"}
        assert "assertive" not in text_of(page)
