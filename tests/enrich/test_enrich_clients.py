"""User agents: families, versions, systems and device classes of what real services see."""

import random
import re
import time

import pytest
import ua_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.enrich import clients
from shoal.enrich.clients import MAX_USER_AGENT, Client, read_client

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
MAC = "like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("text", "client"),
    [
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/120.0.0.0 Safari/537.36",
            Client("Chrome", "120", "Windows", "desktop"),
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:119.0) Gecko/20100101 Firefox/119.0",
            Client("Firefox", "119", "Mac OS X", "desktop"),
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
            Client("Firefox", "115", "Linux", "desktop"),
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 {MAC} Version/17.1 Mobile/15E148 Safari/604.1",
            Client("Mobile Safari", "17", "iOS", "mobile"),
        ),
        (
            f"Mozilla/5.0 (iPad; CPU OS 16_1 {MAC} Version/16.1 Mobile/15E148 Safari/604.1",
            Client("Mobile Safari", "16", "iOS", "tablet"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13; Pixel 7) {WEBKIT} Chrome/119.0.0.0 Mobile Safari/537.36",
            Client("Chrome Mobile", "119", "Android", "mobile"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13; SM-X700) {WEBKIT} Chrome/119.0.0.0 Safari/537.36",
            Client("Chrome", "119", "Android", "tablet"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 11; CUBOT NOTE 20) {WEBKIT} Chrome/90.0.0.0 Mobile Safari/537.36",
            Client("Chrome Mobile", "90", "Android", "mobile"),
        ),
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            Client("Googlebot", "2", None, "bot"),
        ),
        ("aws-cli/1.16.1 Python/3.6.8 Linux/4.14 botocore/1.11", Client("aws-cli", "1", "Linux", "script")),
        ("[Boto3/1.9.1 Python/3.7 Linux Botocore/1.12]", Client("Boto3", "1", "Linux", "script")),
        ("curl/8.4.0", Client("curl", "8", None, "script")),
        ("python-requests/2.31.0", Client("python-requests", "2", None, "script")),
        ("Go-http-client/1.1", Client("Go-http-client", "1", None, "script")),
        ("rclone/v1.64.0", Client("rclone", "1", None, "script")),
        ("Go-http-client", Client("Go-http-client", None, None, "script")),
        (
            f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/119.0 Safari/537.36",
            Client("HeadlessChrome", "119", "Linux", "script"),
        ),
        ("console.amazonaws.com", Client(None, None, None, "other")),
        ("", Client(None, None, None, None)),
        ("  \t", Client(None, None, None, None)),
    ],
)
def test_clients(text: str, client: Client) -> None:
    assert read_client(text) == client


def test_only_the_beginning_is_read() -> None:
    assert read_client("x" * MAX_USER_AGENT + " curl/8.4.0").device == "other"


@pytest.mark.parametrize(
    "text", ["(" * 5000, "a" * 5000, "Mozilla/5.0 (" + "; " * 3000, "/1." * 3000, "\x00\ud7ff\u202e"]
)
def test_hostile_texts_are_answered_in_bounded_time(text: str) -> None:
    start = time.process_time()
    assert read_client(text).device == "other"
    assert time.process_time() - start < 2


SOME = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 Version/17.1 Mobile/15E148",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Opera/9.80 (Windows NT 6.1; U; en) Presto/2.10.289 Version/12.02",
    "[aws-cli/2.2 Python/3.8 Darwin/20.5.0 botocore/2]",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.4266; Pro)",
    "Dalvik/2.1.0 (Linux; U; Android 11; SM-G991B Build/RP1A.200720.012)",
    "BAV2ROPC",
]
CUTS = ["\u0663", "\uff11", "é", "K", "ſ", "\x00", "/1.2", ";", ")", "Chrome/", "Version/", "iPad", "bot", " curl/8"]


def test_every_resolver_gives_the_same_answer() -> None:
    """What is journalled must not depend on which resolver a machine has."""
    from ua_parser import basic, regex

    fast = clients._parser()
    assert isinstance(fast.resolver, regex.Resolver), "ua-parser-rs is not installed: a flood of agents is costly"
    agents, systems, devices = ua_parser.load_lazy_builtins()
    spiders = [rule for rule in devices if getattr(rule, "family", "") == "Spider"]
    slow = ua_parser.Parser(basic.Resolver((agents, systems, spiders)))
    rng = random.Random(1)
    texts = list(SOME)
    for _ in range(300):
        text = rng.choice(SOME)
        at = rng.randrange(len(text))
        texts.append(text[:at] + rng.choice(CUTS) + text[at + rng.randrange(3) :])
    answers = [read_client(text) for text in texts]
    assert len(set(answers)) > 40
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "_parser", lambda: slow)
        assert [read_client(text) for text in texts] == answers


def slow_tool(text: str) -> tuple[str, str | None] | None:
    """The tool of a user agent by one plain alternation of all names: the twin of the look-up by words."""
    names = "|".join(sorted(map(re.escape, clients._TOOLS), key=len, reverse=True))
    found = re.search(rf"(?:^|[\s\[(;,])({names})(?=[/\s\];),]|$)(?:/v?(\d{{1,9}}))?", text, re.IGNORECASE)
    return (found[1], found[2]) if found else None


PARTS = [*clients._TOOLS, *" /;,()[]-.", "/v12", "/V7", "/1234567890", "Mozilla", "5.0", "x"]


@given(st.lists(st.sampled_from(PARTS) | st.sampled_from(list(" /;([")), max_size=12).map("".join))
@settings(max_examples=60, deadline=None)
def test_tools_are_found_as_the_plain_search_finds_them(text: str) -> None:
    client = read_client(text)
    found = slow_tool(text)
    assert (client.device == "script") == (found is not None)
    if found is not None:
        assert (client.family, client.version) == found
