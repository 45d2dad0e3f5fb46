"""The supervisor's page as files: what it names is there, and nothing in it can run what a caller or a vendor sent."""

import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from quart_trio import QuartTrio

from agent.web import live
from agent.web.live import routes

STATIC = "/live/static/"
FOLDER = files(live)
SCRIPTS = sorted(entry.name for entry in FOLDER.iterdir() if entry.name.endswith(".js"))
CONTENT_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


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
    return (FOLDER / name).read_text(encoding="utf-8")


def named_by_the_page() -> set[str]:
    """The files that the page asks for, and those which its scripts import."""
    tags = Tags(text_of("index.html"))
    addresses = {
        attrs[key] or "" for tag, attrs in tags.found for key in ("src", "href") if key in attrs and tag != "a"
    }
    assert all(address.startswith(STATIC) for address in addresses)
    imported = {name for script in SCRIPTS for name in re.findall(r'from "\./([^"]+)"', text_of(script))}
    return {address.removeprefix(STATIC) for address in addresses} | imported


def files_app() -> QuartTrio:
    app = QuartTrio(__name__)
    app.register_blueprint(routes)
    return app


async def test_every_file_the_page_names_is_served_with_its_content_type_and_the_strict_policy() -> None:
    client = files_app().test_client()
    names = named_by_the_page()
    assert {"live.js", "live.css"} <= names
    for name in names:
        reply = await client.get(STATIC + name)
        assert reply.status_code == 200, name
        assert reply.content_type.partition(";")[0] == CONTENT_TYPES[name.rpartition(".")[2]], name
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert "unsafe" not in reply.headers["Content-Security-Policy"]


async def test_nothing_else_of_the_folder_is_served() -> None:
    client = files_app().test_client()
    for name in ("__init__.py", "index.html", "..%2faccess.py", "nothing.js"):
        assert (await client.get(STATIC + name)).status_code == 404, name


def test_no_file_lies_in_the_folder_that_the_page_does_not_use() -> None:
    present = {entry.name for entry in FOLDER.iterdir() if entry.is_file()}
    assert present - {"__init__.py", "index.html"} == named_by_the_page()


def test_the_page_has_no_inline_script_style_or_handler() -> None:
    tags = Tags(text_of("index.html"))
    assert tags.inline == ""
    for tag, attrs in tags.found:
        assert tag != "style"
        assert tag != "script" or "src" in attrs
        assert not [name for name in attrs if name == "style" or name.startswith("on")], tag


def test_every_element_that_a_script_looks_for_is_on_the_page() -> None:
    ids = [attrs["id"] for _, attrs in Tags(text_of("index.html")).found if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = {name for script in SCRIPTS for name in re.findall(r'\$\("([^"]+)"\)', text_of(script))}
    assert wanted <= set(ids)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_puts_in_text_and_never_markup_or_code(script: str) -> None:
    source = text_of(script)
    for way_in in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "setHTML", "DOMParser", "srcdoc"):
        assert way_in not in source
    assert not re.search(r"createContextualFragment|\beval\(|new Function|javascript:|import\(", source)


@pytest.mark.parametrize("name", [*SCRIPTS, "index.html", "live.css"])
def test_nothing_comes_from_elsewhere(name: str) -> None:
    addresses = re.findall(r"""["'(=]\s*((?:https?|wss?):)?//[\w.-]""", text_of(name))
    allowed = text_of(name).count("http://www.w3.org/2000/svg")  # a name, not an address
    assert len(addresses) == allowed


def test_colour_is_never_the_only_sign_and_motion_can_be_refused() -> None:
    style, parts = text_of("live.css"), text_of("parts.js")
    assert "prefers-color-scheme: dark" in style
    assert "prefers-reduced-motion: reduce" in style
    assert "needs help" in parts
    assert "anger rising" in parts


def test_a_screen_reader_is_told_of_alarms_and_of_the_connection_politely() -> None:
    spoken = {attrs.get("id") for _, attrs in Tags(text_of("index.html")).found if attrs.get("role") == "status"}
    assert spoken == {"said", "link"}
    assert "assertive" not in text_of("index.html")
