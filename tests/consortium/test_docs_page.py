"""The page of the API shows every operation with its fields and an example, and needs nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from consortium.http.app import create_app, declared_routes
from consortium.http.docs_page import page
from consortium.http.openapi import document
from protocol.problems import ProblemType
from tests.common.direct_service import DirectService
from tests.common.tables_learning import build


class Balance(HTMLParser):
    """Every tag that is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if "id" in named:
            self.ids.append(named["id"])
        if tag == "a":
            self.links.append(named["href"])
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_shows_every_operation_and_every_problem_type():
    html = page(document(declared_routes()))
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    assert {link[1:] for link in parser.links if link.startswith("#")} <= set(parser.ids)
    assert len(parser.ids) == len(set(parser.ids))  # no section or operation hides another
    sections = html[html.index("<h1>") : html.index("<h2")]
    assert sections.count(">models</a>") == 1
    assert not [link for link in parser.links if "//" in link]
    assert "<script" not in html
    for route in declared_routes():
        assert f"<code>{route.path}</code>" in html
        assert html.count("<h4>Example</h4>") == len(declared_routes())
    for kind in ProblemType:
        assert f"<code>{kind.value}</code>" in html
    assert "-d &#39;{&#34;plan&#34;: &#34;…&#34;}&#39;" in html
    assert re.search(r"curl &#34;\$CONSORTIUM_URL/v1/trainings/\$TRAINING/events&#34;", html)


def test_the_root_leads_to_the_page(tmp_path):
    service = DirectService(tmp_path, build)
    client = create_app(service.runtime, service.settings).test_client()
    led = client.get("/")
    assert (led.status_code, led.headers["Location"]) == (302, "/docs")
    assert client.get("/docs").content_type.startswith("text/html")
