"""Which URLs can name a hub, for the commands and for Argo CD alike."""

from __future__ import annotations

import pytest

from hub.cli.connection import Connection
from hub.cli.urls import hub_url

EXAMPLE = "http://hub.example:4355"


def refusal(text: str) -> str:
    """Why both the commands and ``--base-url`` refuse a URL."""
    with pytest.raises(ValueError, match="is not a usable URL") as one:
        hub_url(text, EXAMPLE)
    with pytest.raises(ValueError, match="is not a usable URL") as other:
        Connection(namespace="argocd", base_url=text, request_timeout_s=30)
    assert str(other.value).startswith("--base-url: ")
    assert "SECRET" not in str(other.value)
    return str(one.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("hub:4355", "expected one such as", id="no scheme"),
        pytest.param("ftp://hub", "expected one such as", id="another scheme"),
        pytest.param("http://", "expected one such as", id="no host"),
        pytest.param("http://:4355", "expected one such as", id="only a port"),
        pytest.param("http://h:99999", '"99999" is not a port', id="a port too large"),
        pytest.param("http://h:" + "9" * 5000, "is not a port", id="a very long port"),
        pytest.param("http://h:abc", '"abc" is not a port', id="a port in words"),
        pytest.param("http://h:0", '"0" is not a port', id="port 0"),
        pytest.param("http://h:", '"" is not a port', id="an empty port"),
        pytest.param("http://h:1:2", '"1:2" is not a port', id="two ports"),
        pytest.param("http://h/?q=1", 'leave out "?q=1"', id="a query"),
        pytest.param("http://h?", 'leave out "?"', id="an empty query"),
        pytest.param("http://h#f", 'leave out "#f"', id="a fragment"),
        pytest.param("http://a b", "expected one such as", id="a space"),
        pytest.param("http://h\n", "expected one such as", id="a line break"),
        pytest.param("http://h/\t", "expected one such as", id="a tab"),
        pytest.param("http://h%2e:4355", '"h%2e" is not a host name', id="an escaped dot"),
        pytest.param("http://h\u3002:4355", "expected one such as", id="an ideographic full stop"),
        pytest.param("http://b\u00fccher", "expected one such as", id="not ASCII"),
        pytest.param("http://a..b", '"a..b" is not a host name', id="an empty label"),
        pytest.param(f"http://{'a' * 64}", "is not a host name", id="a label too long"),
        pytest.param("http://" + ".".join(["a" * 63] * 4), "is not a host name", id="a name too long"),
        pytest.param("http://[::g]", "is not an IPv6 address", id="no IPv6 address"),
        pytest.param("http://[::1]x:80", "expected one such as", id="text after an IPv6 address"),
        pytest.param("http://::1:80", "expected one such as", id="IPv6 without brackets"),
        pytest.param("http://h/%zz", "must be percent-encoded", id="a broken escape"),
        pytest.param("http://h/a\\b", "must be percent-encoded", id="a backslash"),
        pytest.param("http://h/api/v1/getparams.execute", "leave out", id="the whole path"),
        pytest.param("http://h/previews/api/v1/getparams.execute/", "leave out", id="the whole path of a route"),
    ],
)
def test_a_url_that_cannot_work_is_refused(text: str, words: str) -> None:
    assert words in refusal(text)


@pytest.mark.parametrize(
    "text", ["http://user:SECRET@h", "http://SECRET@h:1", "http://a@b:SECRET@h", "http://@h", "http://u:SECRET @h"]
)
def test_a_user_name_and_password_are_refused_and_not_repeated(text: str) -> None:
    assert "SECRET" not in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:4355",
        "HTTPS://Hub.example",
        "http://127.0.0.1:65535/",
        "http://[::1]:4355/previews",
        "http://appset_hub.ns.svc.cluster.local:4355/a/b%20c",
    ],
)
def test_a_url_that_can_work_is_taken(text: str) -> None:
    assert hub_url(text, EXAMPLE).hostname
    assert Connection(namespace="argocd", base_url=text, request_timeout_s=30).base_url == text


def test_a_dot_at_the_end_of_the_host_is_refused_only_where_argo_cd_would_use_it() -> None:
    assert hub_url("http://h.:4355", EXAMPLE).hostname == "h."
    with pytest.raises(ValueError, match="remove the dot"):
        Connection(namespace="argocd", base_url="http://h.:4355", request_timeout_s=30)
