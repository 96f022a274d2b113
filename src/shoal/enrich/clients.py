"""Clients: a user agent becomes a family, a major version, an operating system and a device class.

Parsed by `ua-parser` with the rules that `ua-parser-builtins` ships, by the resolver in Rust where `ua-parser-rs` is
installed: the text is the client's, and in pure Python a flood of new ones would cost a millisecond each. For the same
reason only the first `MAX_USER_AGENT` characters are read. A user agent is what a client *says*: rules may use it as a
hint, never as a proof. The parser is built once in a process.

Device classes: `script` (command-line tools, SDKs, HTTP libraries, driven browsers), `bot` (crawlers that say so),
`tablet`, `mobile`, `desktop`, `other`.
"""

from __future__ import annotations

import importlib.metadata
import re
from functools import cache
from typing import NamedTuple

import ua_parser

MAX_USER_AGENT = 512
"""Characters of a user agent that are read; real ones have about 120, the longest honest ones under 400."""

_TOOLS = re.findall(
    r"\S+",
    """
    aws-cli aws-sdk-java aws-sdk-js aws-sdk-go aws-sdk-go-v2 aws-sdk-ruby aws-sdk-ruby3 aws-sdk-php aws-sdk-net
    aws-sdk-dotnet aws-sdk-rust aws-sdk-cpp aws-sdk-nodejs boto boto3 botocore s3cmd s5cmd s3fs s3transfer goofys minio
    rclone restic duplicity azcopy azure-cli azurepowershell azsdk-python azsdk-net azsdk-js gsutil google-cloud-sdk
    gcloud google-api-python-client terraform apn pulumi ansible ansible-httpget packer vault kubectl helm docker curl
    pycurl wget wget2 httpie aria2 axel libcurl lynx python python-requests python-urllib python-urllib3 python-httpx
    aiohttp python-aiohttp httpx urllib3 scrapy mechanize go-http-client go-resty fasthttp java jakarta
    apache-httpclient apache-httpasyncclient okhttp node-fetch undici axios got node-superagent node node.js deno bun
    ruby rest-client faraday typhoeus httparty php guzzlehttp libwww-perl lwp-trivial perl www-mechanize restsharp
    powershell windowspowershell winhttp postmanruntime insomnia paw hyper reqwest rust isahc headlesschrome phantomjs
    slimerjs selenium puppeteer playwright cypress sqlmap nikto nmap masscan zgrab hydra gobuster ffuf nuclei wfuzz
    dirbuster openbullet silverbullet k6 locust jmeter apachebench siege wrk davfs2 neon cadaver git
    """,
)
_TOOL_NAMES = frozenset(_TOOLS)
_WORD = re.compile(r"(?:^|[\s\[(;,])([^\s\[\](;),/]{2,40})(?=[/\s\];),]|$)(?:/[vV]?(\d{1,9}))?")
"""A word that may be a tool's name, and the major version behind it."""
_BOT_WORDS = ("bot", "crawler", "spider", "slurp", "facebookexternalhit")
_BOT = re.compile(
    r"(?:^|[^a-z])(?!cubot)(?:[a-z]*bot|crawler|spider|slurp|facebookexternalhit)(?:[^a-z]|$)", re.IGNORECASE
)
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
"""To the resolver in Python a digit is any of Unicode's, to the others one of ten: the answer must not depend on it."""
_DESKTOP = frozenset(
    (
        "Windows",
        "Mac OS X",
        "Mac OS",
        "Linux",
        "Ubuntu",
        "Fedora",
        "Debian",
        "Red Hat",
        "CentOS",
        "SUSE",
        "openSUSE",
        "Kubuntu",
        "Mint",
        "Gentoo",
        "Arch Linux",
        "Mandriva",
        "Slackware",
        "Chrome OS",
        "FreeBSD",
        "OpenBSD",
        "NetBSD",
        "DragonFly",
        "Solaris",
        "Haiku",
    )
)
_MOBILE = frozenset(
    (
        "Android",
        "iOS",
        "Windows Phone",
        "Windows Mobile",
        "BlackBerry OS",
        "BlackBerry Tablet OS",
        "Symbian OS",
        "Symbian^3",
        "Firefox OS",
        "KaiOS",
        "HarmonyOS",
        "Bada",
        "Nokia Series 40",
        "MeeGo",
        "webOS",
        "Brew MP",
    )
)


class Client(NamedTuple):
    """The parts of a user agent; None where unknown. `device` is None only for an empty text."""

    family: str | None
    version: str | None
    os: str | None
    device: str | None


@cache
def _parser() -> ua_parser.Parser:
    agents, systems, devices = ua_parser.load_lazy_builtins()
    # Of the 600 device rules only those for crawlers are asked: the others name brands and cost half of the time.
    spiders = [rule for rule in devices if getattr(rule, "family", "") == "Spider"]
    return ua_parser.Parser(ua_parser.BestAvailableResolver((agents, systems, spiders)))


def client_rules_version() -> str:
    """The version of the rules in use."""
    return importlib.metadata.version("ua-parser-builtins")


def read_client(text: str) -> Client:
    """Parse a user agent. About 40 µs where `ua-parser-rs` is installed, 1.2 ms without: call it once a distinct text.

    >>> read_client("aws-cli/2.15.0 Python/3.11")
    Client(family='aws-cli', version='2', os=None, device='script')
    """
    text = text[:MAX_USER_AGENT]
    if not text.strip():
        return Client(None, None, None, None)
    parsed = _parser().parse(text if text.isascii() else _FOREIGN_DIGIT.sub("_", text))
    agent, system = parsed.user_agent, parsed.os
    os_family = system.family if system is not None else None
    for tool in _WORD.finditer(text):
        if tool[1].lower() in _TOOL_NAMES:
            return Client(tool[1], tool[2], os_family, "script")
    family = agent.family if agent is not None else None
    version = agent.major if agent is not None else None
    spider = parsed.device is not None and parsed.device.family == "Spider"
    lower = text.lower()
    spider = spider and "cubot" not in lower  # a maker of phones
    bot = spider or (any(word in lower for word in _BOT_WORDS) and _BOT.search(text))
    device = "bot" if bot else _class_of(text, os_family)
    return Client(family, version, os_family, device)


def _class_of(text: str, os_family: str | None) -> str:
    """Tablet, mobile, desktop or other, of a client that is neither a bot nor a script."""
    if "iPad" in text or "Tablet" in text or "Kindle" in text:
        return "tablet"
    if os_family == "Android" and "Mobile" not in text and text.startswith("Mozilla/"):
        return "tablet"  # Google's own rule: a phone's browser says Mobile
    if os_family in _MOBILE or "Mobi" in text:
        return "mobile"
    return "desktop" if os_family in _DESKTOP else "other"
