"""Hosts of URLs as a browser finds them, their normal form, suffix and registered domain."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.enrich.hosts import NO_HOST, Host, read_host
from shoal.enrich.hosts_kernel import url_hosts

URLS = [
    ("https://www.Example.com/a?b#c", "www.example.com"),
    ("http://example.com", "example.com"),
    ("HTTP://EXAMPLE.COM:8080/x", "example.com"),
    ("https://user:pa@ss@example.com:1/", "example.com"),
    ("https://good.example@evil.example/", "evil.example"),
    ("https://evil.example?@good.example/", "evil.example"),
    ("https://evil.example#@good.example/", "evil.example"),
    ("https://evil.example\\@good.example/", "evil.example"),
    ("https:\\\\evil.example\\x", "evil.example"),
    ("https:/evil.example/x", "evil.example"),
    ("https:evil.example/x", "evil.example"),
    ("https:////evil.example/x", "evil.example"),
    ("  https://evil.example/", "evil.example"),
    ("ht\ttps://ev\nil.example/", "evil.example"),
    ("ftp://files.example/a", "files.example"),
    ("sftp://files.example/a", "files.example"),
    ("sftp:/files.example/a", None),
    ("custom+x://h.example\\@other.example/", "other.example"),
    ("//cdn.example/x", "cdn.example"),
    ("http://[2001:DB8::1]:80/x", "[2001:db8::1]"),
    ("http://192.0.2.7:80/", "192.0.2.7"),
    ("example.com/x", None),
    ("/path//x", None),
    ("mailto:ann@example.com", None),
    ("javascript:alert(1)", None),
    ("http://", None),
    ("http:///", None),
    ("http://@/", None),
    ("://x", None),
    ("1http://x.example", None),
    ("", None),
    (None, None),
    ("http://" + "a" * 2000, None),
    ("http://bücher.example/", "bücher.example"),
]


def test_hosts_of_urls() -> None:
    urls = pa.array([url for url, _ in URLS], pa.string())
    found = url_hosts(urls)
    found.validate(full=True)
    assert dict(zip(urls.to_pylist(), found.to_pylist(), strict=True)) == dict(URLS)
    assert url_hosts(urls.slice(3, 4)).to_pylist() == [host for _, host in URLS[3:7]]
    assert url_hosts(urls.slice(0, 0)).to_pylist() == []


@settings(max_examples=100, deadline=None)
@given(
    st.from_regex(r"[a-z0-9-]{1,8}(\.[a-z0-9-]{1,8}){0,3}", fullmatch=True),
    st.sampled_from(["", "u@", "u:p@", "a@b@"]),
    st.sampled_from(["", ":1", ":"]),
    st.sampled_from(["", "/", "/a@b:c", "?x=//y", "#z@"]),
)
def test_urls_that_were_built_are_taken_apart(host: str, user: str, port: str, rest: str) -> None:
    assert url_hosts(pa.array([f"https://{user}{host}{port}{rest}"])).to_pylist() == [host]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | st.text(alphabet="htps:/\\@[]?#.a1\t é%", max_size=24), max_size=6))
def test_any_text_is_answered_with_valid_texts(urls: list[str | None]) -> None:
    hosts = url_hosts(pa.array(urls, pa.string()))
    hosts.validate(full=True)
    for host in hosts.to_pylist():
        if host is not None:
            assert isinstance(read_host(host), Host)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("example.com", Host("example.com", "example.com", "com")),
        ("a.b.example.co.uk", Host("a.b.example.co.uk", "example.co.uk", "co.uk")),
        ("WWW.Example.com.", Host("www.example.com", "example.com", "com")),
        ("example.com:443", Host("example.com", "example.com", "com")),
        ("example.com:", Host("example.com", "example.com", "com")),
        ("ann.github.io", Host("ann.github.io", "ann.github.io", "github.io")),
        ("x.ann.github.io", Host("x.ann.github.io", "ann.github.io", "github.io")),
        ("github.io", Host("github.io", None, "github.io")),
        ("com", Host("com", None, "com")),
        ("foo.city.kawasaki.jp", Host("foo.city.kawasaki.jp", "city.kawasaki.jp", "kawasaki.jp")),
        ("a.b.foo.ck", Host("a.b.foo.ck", "b.foo.ck", "foo.ck")),
        ("intranet", Host("intranet", None, "intranet")),
        ("bücher.example", Host("xn--bcher-kva.example", "xn--bcher-kva.example", "example")),
        ("XN--BCHER-KVA.example", Host("xn--bcher-kva.example", "xn--bcher-kva.example", "example")),
        ("食狮.公司.cn", Host("xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn", "xn--55qx5d.cn")),
        ("example。com", Host("example.com", "example.com", "com")),
        ("ex%61mple.com", Host("example.com", "example.com", "com")),
        ("_dmarc.example.com", Host("_dmarc.example.com", "example.com", "com")),
        ("192.0.2.7", Host("192.0.2.7", None, None)),
        ("192.0.2.7:80", Host("192.0.2.7", None, None)),
        ("2130706433", Host("127.0.0.1", None, None)),
        ("0x7f.1", Host("127.0.0.1", None, None)),
        ("0177.0.0.01", Host("127.0.0.1", None, None)),
        ("[2001:db8::1]:80", Host("2001:db8::1", None, None)),
        ("2001:DB8:0::1", Host("2001:db8::1", None, None)),
    ],
)
def test_hosts(text: str, host: Host) -> None:
    assert read_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a..b",
        ".a.com",
        "a b.com",
        "a/b.com",
        "exa$mple.com",
        "-a.com",
        "a-.com",
        "x" * 64 + ".com",
        ".".join(["abcdefgh"] * 30),
        "a.com:http",
        "a.com:1:2",
        "[::1",
        "[::1]x",
        "[1.2.3.4]",
        "[::g]",
        "1.2.3.256",
        "1.2.3.4.5",
        "09",
        "a.1",
        "0xg.1",
        "999999999999",
        "%00.com",
        "%zz.com",
        "ｘ" * 90 + ".com",
        "é" * 3000,
    ],
)
def test_malformed_hosts(text: str) -> None:
    assert read_host(text) == NO_HOST
