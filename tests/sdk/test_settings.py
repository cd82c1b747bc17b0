"""Mistakes in how a backend is started: refused before anything starts, with the name of the setting."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from appset_hub import Backend, Connection, InvalidSettings, Pace, Question, serve
from appset_hub.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def schema(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels - 1):
        found = {"not": found}
    return found


async def nothing(_question: Question) -> list[dict[str, Any]]:
    return []


def yields(_question: Question) -> Iterator[dict[str, Any]]:
    yield {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"name": "Images"}, 'name: "Images" must be lower-case', id="upper case"),
        pytest.param({"name": ""}, 'name: ""', id="no name"),
        pytest.param({"name": "a" * 64}, "at most 63", id="a long name"),
        pytest.param(
            {"name": "My Images"}, 'as in a DNS name; did you mean "my-images"?', id="a name that is nearly one"
        ),
        pytest.param({"name": None}, "name: expected the backend's name as text, got NoneType", id="None as name"),
        pytest.param(
            {"name": "a", "application_sets": "fb-*,pr-*"},
            'application_sets: expected a list of patterns, got text; did you mean ["fb-*", "pr-*"]?',
            id="text as claim",
        ),
        pytest.param({"name": "a", "application_sets": 1}, 'such as ["fb-*"], got int', id="a number as claim"),
        pytest.param(
            {"name": "a", "application_sets": ["ok", "^fb-.*$"]},
            'application_sets[1]: "^fb-.*$" looks like a regular expression; expected a glob (*, ?, [abc]); '
            'did you mean "fb-*"?',
            id="a regular expression as claim",
        ),
        pytest.param({"name": "a", "application_sets": [".*"]}, 'did you mean "*"?', id="any text as expression"),
        pytest.param(
            {"name": "a", "application_sets": ["(fb|pr)-x"]},
            '"(fb|pr)-x" looks like a regular expression; expected a glob (*, ?, [abc])',
            id="an expression without a glob",
        ),
        pytest.param(
            {"name": "a", "application_sets": ["fb-* pr-*"]}, 'did you mean ["fb-*", "pr-*"]?', id="two in one"
        ),
        pytest.param(
            {"name": "a", "application_sets": [1]}, "application_sets[0]: expected a pattern", id="no pattern"
        ),
        pytest.param({"name": "a", "application_sets": [""]}, "expected 1 to 253", id="an empty pattern"),
        pytest.param({"name": "a", "application_sets": ["a"] * 1001}, "has 1001 patterns", id="many patterns"),
        pytest.param({"name": "a", "function": type}, "function: type is a class", id="a class"),
        pytest.param({"name": "a", "function": lambda *, _a: [_a]}, "must take one argument", id="no argument"),
        pytest.param({"name": "a", "function": lambda _a, _b: []}, "must take one argument", id="two arguments"),
        pytest.param({"name": "a", "function": yields}, 'function: yields has a "yield"', id="a generator"),
        pytest.param(
            {"name": "a", "max_in_flight": "8"}, "max_in_flight: expected a whole number", id="text in flight"
        ),
        pytest.param({"name": "a", "version": 2}, "version: expected text, got int", id="a number as version"),
        pytest.param(
            {"name": "a", "input_schema": '{"type": "object"}'},
            "input_schema: expected a JSON Schema as a dict, got str; parse it first, with json.loads",
            id="a schema as text",
        ),
        pytest.param(
            {"name": "a", "input_schema": {"properties": {"n": {"type": "int"}}}},
            'input_schema.properties.n.type: "int" is not a type; allowed are array, boolean, integer, null, number, '
            'object, string; did you mean "integer"?',
            id="a schema with a Python type",
        ),
        pytest.param(
            {"name": "a", "input_schema": {"required": "branch"}},
            "input_schema.required: expected a list",
            id="required",
        ),
        pytest.param(
            {"name": "a", "input_schema": {"allOf": [1]}}, "input_schema.allOf[0]: expected a schema", id="all"
        ),
        pytest.param(
            {"name": "a", "input_schema": {"x": "y" * 2**18}}, "at most 262144 are allowed", id="a big schema"
        ),
        pytest.param({"name": "a", "function": 1}, "function: int cannot be called", id="no function"),
        pytest.param({"name": "a", "max_in_flight": -1}, "max_in_flight", id="negative in flight"),
        pytest.param({"name": "a", "version": "x" * 129}, "version", id="a long version"),
        pytest.param(
            {"name": "a", "input_schema": {"x": b""}}, "input_schema: not JSON", id="a schema that is no JSON"
        ),
        *(
            pytest.param(
                {"name": "a", "input_schema": schema(levels)},
                "input_schema: nested deeper than 200",
                id=f"{levels} levels",
            )
            for levels in (201, 2000, 20_000)
        ),
    ],
)
def test_a_backend_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Backend(**{"function": nothing, **settings})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({}, "hub: required", id="nowhere"),
        pytest.param(
            {"hub": "localhost"},
            'hub: "localhost": the port is missing; expected host:port, for example appset-hub:4356; '
            'did you mean "localhost:4356"?',
            id="a hub without port",
        ),
        pytest.param(
            {"hub": "http://appset-hub:4355/api"},
            'hub: "http://appset-hub:4355/api": an address has no "http://"; expected host:port, for example '
            "appset-hub:4356; 4355 is the hub's HTTP port for Argo CD, backends use 4356; "
            'did you mean "appset-hub:4356"?',
            id="the URL for Argo CD",
        ),
        pytest.param({"hub": "https://hub"}, "(ca_file turns TLS on); expected", id="TLS by scheme"),
        pytest.param({"hub": "https://hub"}, 'did you mean "hub:4356"?', id="a URL without port"),
        pytest.param({"hub": "dns:///hub"}, 'did you mean "hub:4356"?', id="a target without port"),
        pytest.param({"hub": "hub:99999"}, "port 99999 is not between 1 and 65535", id="a port that is none"),
        pytest.param({"hub": "hub:0"}, "port 0 is not between 1 and 65535", id="port 0 of a hub"),
        pytest.param({"hub": "hub:grpc"}, 'hub: "hub:grpc": "grpc" is not a port', id="a named port"),
        pytest.param({"hub": ":4356"}, "the host is missing; expected", id="a hub without host"),
        pytest.param({"hub": "a b:1"}, '"a b" is not a host name', id="a space in the host"),
        pytest.param({"hub": "hub:4356/x"}, 'did you mean "hub:4356"?', id="a path behind the port"),
        pytest.param({"hub": "::1"}, 'did you mean "[::1]:4356"?', id="IPv6 without port"),
        pytest.param({"hub": "fe80::1:4356"}, "an IPv6 address needs brackets", id="IPv6 without brackets"),
        pytest.param({"hub": "[::g]:1"}, "[::g] is not an IPv6 address", id="IPv6 that is none"),
        pytest.param({"hub": 4356}, "hub: expected host:port, for example appset-hub:4356, got 4356", id="a number"),
        pytest.param({"listen": "50051"}, 'the ":" before port 50051 is missing; expected', id="a port alone"),
        pytest.param({"listen": "tcp://:50051"}, 'did you mean ":50051"?', id="a scheme where to listen"),
        pytest.param(
            {"hub": "hub:1", "listen": ":1", "address": "images.plugins.svc"},
            'address: "images.plugins.svc": the port is missing',
            id="an address without port",
        ),
        pytest.param({"hub": "hub:1", "grace_s": -1}, "grace_s: must be zero or more seconds", id="negative grace"),
        pytest.param(
            {"hub": "hub:1", "token_file": 1}, "token_file: expected the path of a file, got int", id="a number"
        ),
        pytest.param({"hub": "hub:1", "ca_file": "nope.pem"}, 'ca_file: cannot read "nope.pem" in /', id="no CA"),
        pytest.param({"hub": "hub:1", "address": "a:1"}, "address: has no effect without listen", id="address alone"),
        pytest.param({"hub": "hub:1", "listen": ":1"}, "address: required", id="registering nowhere"),
        pytest.param({"listen": ":1", "address": "a:1"}, "hub: required", id="registering with nobody"),
        pytest.param({"hub": "hub:1", "token_file": "/nowhere"}, 'token_file: cannot read "/nowhere"', id="no token"),
        pytest.param({"hub": "hub:1", "cert_file": "a"}, "cert_file, key_file: set both or neither", id="half a pair"),
        pytest.param({"hub": "hub:1", "cert_file": "a", "key_file": "b"}, "requires ca_file", id="TLS without trust"),
        pytest.param({"hub": "hub:1", "client_ca_file": "a"}, "client_ca_file: requires listen", id="nobody dials"),
    ],
)
def test_a_connection_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Connection(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", ["", "  \n", "two words", "first\nsecond", "t\x00ken", "tökén"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(InvalidSettings, match="holds no token") as caught:
        Connection(hub="127.0.0.1:1", token_file=file)
    assert "words" not in str(caught.value)
    assert "first" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [("\n", "it is empty"), ("first\nsecond\n", "it has 2 lines"), ("two words", "it has a space inside")],
)
def test_why_a_file_holds_no_token_is_said(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(InvalidSettings) as caught:
        Connection(hub="127.0.0.1:1", token_file=file)
    assert str(caught.value) == (
        f'token_file: "{file}" holds no token: {why}; expected one word of printable ASCII on one line'
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        pytest.param(f"{'a' * 64}:4356", f'"{"a" * 64}" is not a host name', id="a label too long"),
        pytest.param("\u00fc" * 60 + ":4356", "is not a host name", id="a label too long in IDNA"),
        pytest.param(f"{'.'.join(['a' * 63] * 4)}:4356", "is not a host name", id="a name too long"),
        pytest.param("hub:" + "9" * 5000, "is not between 1 and 65535", id="a port of 5,000 digits"),
        pytest.param("9" * 5000, "is missing; expected", id="only 5,000 digits"),
        pytest.param("http://hub:" + "9" * 5000, 'an address has no "http://"', id="a URL with 5,000 digits"),
    ],
)
def test_a_host_or_port_that_the_resolver_cannot_take_is_refused(address: str, message: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Connection(hub=address)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "hub:4356",
        "b\u00fccher.example:4356",
        "a.b.:4356",
        "dns:///hub:4356",
        "[::1]:4356",
        "unix:/run/hub.sock",
        "10.0.0.1:1",
    ],
)
def test_an_address_that_can_be_is_taken(address: str) -> None:
    assert Connection(hub=address).hub == address


@pytest.mark.parametrize("claim", ["fb-*", "fb.*", "*", "a?[bc]", "[!a]*", "Team_A-*", "v1.2.*"])
def test_a_glob_is_no_regular_expression(claim: str) -> None:
    assert Backend(function=nothing, name="a", application_sets=[claim]).application_sets == [claim]


def test_functions_of_every_shape_are_taken() -> None:
    class Asked:
        async def __call__(self, _question: Question) -> list[dict[str, Any]]:
            return []

        def method(self, _question: Question, extra: int = 0) -> list[dict[str, Any]]:
            return [{"extra": extra}]

    functions: list[Any] = [Asked(), Asked().method, functools.partial(Asked().method, extra=1), lambda *_: []]
    for function in functions:
        assert Backend(function=function, name="a").function is function


class Certificates:
    """A certificate, its key, and what may be mistaken for them."""

    def __init__(self, folder: Path) -> None:
        issued = trustme.CA().issue_cert("localhost")
        self.cert, self.key, self.other = folder / "cert.pem", folder / "key.pem", folder / "other.pem"
        self.text, self.der, self.locked = folder / "text.pem", folder / "ca.der", folder / "locked.pem"
        issued.cert_chain_pems[0].write_to_path(str(self.cert))
        issued.private_key_pem.write_to_path(str(self.key))
        trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(str(self.other))
        self.text.write_text("no certificate")
        self.der.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        self.locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"ca_file": "text"}, "holds no certificate in PEM form", id="text as CA"),
        pytest.param({"ca_file": "key"}, '("-----BEGIN CERTIFICATE-----"): it holds a private key', id="key as CA"),
        pytest.param({"ca_file": "der"}, "holds a certificate that cannot be read", id="a broken CA"),
        pytest.param({"cert_file": "text", "key_file": "key"}, "cert_file: ", id="text as certificate"),
        pytest.param({"cert_file": "cert", "key_file": "cert"}, "holds no private key in PEM form", id="no key"),
        pytest.param({"cert_file": "cert", "key_file": "locked"}, "is encrypted", id="a passphrase"),
        pytest.param({"cert_file": "cert", "key_file": "other"}, "does not belong to the certificate", id="other key"),
        pytest.param({"cert_file": "der", "key_file": "key"}, "cannot be used", id="a broken certificate"),
        pytest.param(
            {"cert_file": "cert", "key_file": "key", "client_ca_file": "text"},
            "client_ca_file: ",
            id="text as client CA",
        ),
    ],
)
def test_certificates_that_cannot_be_used_are_refused(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    files = Certificates(tmp_path)
    with pytest.raises(InvalidSettings) as caught:
        Connection(listen=":0", **{key: getattr(files, name) for key, name in settings.items()})
    assert message in str(caught.value)
    assert "AAAA" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"resolve_s": 0}, {"first_retry_s": -1}, {"remind_s": float("inf")}])
def test_a_pace_that_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettings, match=f"pace.{next(iter(settings))}: must be more than zero seconds"):
        Pace(**settings)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        serve(nothing, name="A", application_sets="x", hub="http://hub", token_file="/nowhere", max_in_flight=-1)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "name",
        "application_sets",
        "max_in_flight",
        "hub",
        "token_file",
    ]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"application_set": ["a"]}, 'did you mean "application_sets"?', id="nearly an argument"),
        pytest.param({"zzz": 1}, "zzz: serve has no such argument; it has function, name", id="nothing like one"),
        pytest.param({}, "serve: missing a required argument: 'name'", id="no name"),
    ],
)
def test_arguments_that_serve_does_not_have_are_refused(settings: dict[str, Any], message: str) -> None:
    anyhow: Any = serve
    with pytest.raises(InvalidSettings) as caught:
        anyhow(nothing, **({"name": "a", **settings} if settings else {}))
    assert message in str(caught.value)


async def test_serve_inside_a_loop_says_what_to_use_instead() -> None:
    with pytest.raises(InvalidSettings, match=r"^serve: an event loop is running here.*use appset_hub.run") as caught:
        serve(nothing, name="images")
    assert not isinstance(caught.value, SystemExit)


def test_serve_off_the_main_thread_says_what_to_use_instead() -> None:
    with ThreadPoolExecutor(thread_name_prefix="worker") as threads:
        error = threads.submit(serve, nothing, name="images").exception(timeout=10)
    assert isinstance(error, InvalidSettings)
    assert not isinstance(error, SystemExit)
    assert str(error).startswith('serve: called in thread "worker_0"')


def test_a_schema_of_two_hundred_levels_is_good() -> None:
    backend = Backend(function=nothing, name="images", input_schema=schema(200))
    assert backend.input_schema_json().count(b"{") == 200


def test_pauses_double_up_to_the_cap_and_are_shortened_by_chance() -> None:
    pace = Pace(first_retry_s=0.1, longest_retry_s=0.5)
    steady, lucky = Backoff(pace, lambda: 0.0), Backoff(pace, lambda: 1.0)
    assert [steady.after_failure_s() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert [lucky.after_failure_s() for _ in range(5)] == [0.05, 0.1, 0.2, 0.25, 0.25]
    assert steady.after_refusal_s() == pace.refused_retry_s
    steady.reset()
    assert steady.after_failure_s() == 0.1


def test_pauses_after_refusals_are_long_and_grow_to_half_a_minute() -> None:
    backoff = Backoff(Pace(), lambda: 0.0)
    assert [backoff.after_refusal_s() for _ in range(5)] == [5, 10, 20, 30, 30]
    backoff.reset()
    assert backoff.after_refusal_s() == 5


def test_the_default_pace_is_back_within_a_second() -> None:
    assert Pace().first_retry_s <= 0.2
    assert Pace().longest_retry_s < 1
