"""The shape of ``hub.yaml``: every key with its meaning, its default and the reason for it.

The reference page, the JSON Schema and the words of every error about a shape are made from this module.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from hub.core.nesting import MAX_LEVELS
from hub.core.question import MAX_INPUT_DEPTH

# In Python "$" matches before a final line break too; the lookahead rules that out.
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$(?!\n)"
PERCENT_PATTERN = r"^(100|[0-9]{1,2}(\.[0-9]+)?)%$(?!\n)"
# Keys with dots between them, and perhaps a key of each element.
LIST_PATH_PATTERN = r"^[^.\[\]\s]+(\.[^.\[\]\s]+)*(\[\]\.[^.\[\]\s]+)?$(?!\n)"
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$(?!\n)"  # A DNS-1123 label.

# "expected" is what an error says may stand there; a "secret" value is one that no error repeats.
Duration = Annotated[
    str,
    Meta(
        pattern=DURATION_PATTERN,
        examples=["500ms", "25s", "1m30s"],
        extra={"expected": 'a duration such as "25s"', "note": "the units are ms, s, m, h and d"},
    ),
]
Name = Annotated[
    str,
    Meta(
        pattern=NAME_PATTERN,
        examples=["images"],
        extra={
            "expected": 'a name such as "images" (a DNS-1123 label: up to 63 lower-case letters, digits and hyphens)'
        },
    ),
]
Pattern = Annotated[
    str,
    Meta(min_length=1, max_length=253, examples=["fb-*"], extra={"expected": 'a glob pattern such as "fb-*"'}),
]
Key = Annotated[str, Meta(min_length=1, examples=["branch"], extra={"expected": 'a key such as "branch"'})]
LEAST_PROCESS_BYTES = 128 * 1024 * 1024

Count = Annotated[int, Meta(ge=1, le=10**15, extra={"expected": "a whole number such as 100"})]
Bytes = Annotated[int, Meta(ge=1, le=10**15, extra={"expected": "a number of bytes such as 1048576"})]
ProcessBytes = Annotated[
    int,
    Meta(ge=LEAST_PROCESS_BYTES, le=10**15, extra={"expected": f"a number of bytes of at least {LEAST_PROCESS_BYTES}"}),
]
Path = Annotated[str, Meta(min_length=1, extra={"expected": "the path of a file", "secret": True})]
CertificateName = Annotated[
    str, Meta(min_length=1, examples=["images.example"], extra={"expected": 'a name such as "images.example"'})
]
Address = Annotated[str, Meta(extra={"expected": 'an address such as ":4355" or "127.0.0.1:4355"'})]


_STORE_URL = '"memory:" or "sqlite:PATH"'


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping of the file; an unknown key is an error.

    ``form`` and ``hint`` are for errors: what such a mapping looks like, and the reason. In place of a ``secret`` one
    there may be a secret by mistake, so errors do not repeat the value; nor its unknown keys if ``secret_keys``.
    """

    form: ClassVar[str] = ""
    hint: ClassVar[str] = ""
    secret: ClassVar[bool] = False
    secret_keys: ClassVar[bool] = False


class Listen(_Entry, frozen=True, kw_only=True):
    """Where the hub listens: `host:port`, or `:port` for all addresses of the machine. Changes need a restart."""

    http: Annotated[Address, Meta(description="For Argo CD.")] = ":4355"
    grpc: Annotated[Address, Meta(description="For backends.")] = ":4356"
    admin: Annotated[Address, Meta(description="For metrics, probes and operators' commands.")] = ":4357"


class ServerTls(_Entry, frozen=True, kw_only=True):
    """Certificate files of a port; they are reloaded when they change."""

    form: ClassVar[str] = "{certificate: PATH, key: PATH}"
    secret: ClassVar[bool] = True

    certificate: Annotated[Path, Meta(description="The certificate chain, PEM.")]
    key: Annotated[Path, Meta(description="Its private key, PEM, without a passphrase.")]
    client_ca: Annotated[
        str,
        Meta(description="Require client certificates signed by this CA, PEM; default: none required."),
    ] = ""


class Tls(_Entry, frozen=True, kw_only=True):
    """TLS on the ports; a port without an entry here is plain text."""

    secret: ClassVar[bool] = True

    http: Annotated[ServerTls | None, Meta(description="The port for Argo CD.")] = None
    grpc: Annotated[ServerTls | None, Meta(description="The port for backends.")] = None
    admin: Annotated[
        ServerTls | None,
        Meta(
            description="The admin port. Probes and Prometheus then need the scheme https; with `client_ca` they need "
            "a certificate too, which the kubelet does not have."
        ),
    ] = None


class TokenFile(_Entry, frozen=True, kw_only=True):
    """A secret in a file. Surrounding whitespace is ignored; the file is reloaded when it changes."""

    form: ClassVar[str] = "{file: PATH}"
    hint: ClassVar[str] = "secrets come only from files"
    secret: ClassVar[bool] = True
    secret_keys: ClassVar[bool] = True

    file: Annotated[Path, Meta(description="The file. A relative path starts at the configuration's folder.")]


class Client(_Entry, frozen=True, kw_only=True):
    """A caller over HTTP. Its token proves which ConfigMap was used, not who wrote the ApplicationSet."""

    form: ClassVar[str] = "{name: NAME, tokens: [{file: PATH}]}"
    secret: ClassVar[bool] = True

    name: Annotated[Name, Meta(description="Shown in logs and messages.")]
    tokens: Annotated[
        list[TokenFile],
        Meta(min_length=1, description="Any of them is accepted, so that a token can be rotated without a gap."),
    ]
    application_sets: Annotated[
        list[Pattern], Meta(description="applicationSetName patterns this client may request.")
    ] = msgspec.field(default_factory=lambda: ["*"])
    routes: Annotated[
        list[Pattern],
        Meta(description="Patterns of the routes this client may use; names without a configured route need `*`."),
    ] = msgspec.field(default_factory=lambda: ["*"])
    max_in_flight: Annotated[
        Count,
        Meta(
            description="Concurrent requests; beyond this, requests get a 429. Argo CD reconciles ten sets at a time."
        ),
    ] = 256


class CallTls(_Entry, frozen=True, kw_only=True):
    """TLS when the hub connects to a backend."""

    secret: ClassVar[bool] = True

    ca: Annotated[str, Meta(description="CA bundle for the backend's certificate, PEM; default: the system's.")] = ""
    certificate: Annotated[str, Meta(description="The hub's client certificate, PEM, if the backend requires one.")] = (
        ""
    )
    key: Annotated[str, Meta(description="Its private key, PEM, without a passphrase.", extra={"secret": True})] = ""
    server_name: Annotated[
        str, Meta(description="The name in the backend's certificate, if it differs from the address.")
    ] = ""


class Backend(_Entry, frozen=True, kw_only=True):
    """A backend and what it may do. It needs tokens or certificates to register with, or an address to connect to."""

    form: ClassVar[str] = "{name: NAME, tokens: [{file: PATH}], application_sets: [PATTERN]}"
    secret: ClassVar[bool] = True

    name: Annotated[Name, Meta(description="The name it registers under, and that routes use.")]
    tokens: Annotated[list[TokenFile], Meta(description="Any of them authenticates this backend.")] = []
    certificates: Annotated[
        list[CertificateName],
        Meta(
            description="Names in client certificates that authenticate it; needs `tls.grpc.client_ca`. If there are "
            "tokens as well, both are required."
        ),
    ] = []
    application_sets: Annotated[
        list[Pattern],
        Meta(
            description="applicationSetName patterns this backend may claim; claims outside them are ignored. Without "
            "any, it serves only routes that name it. For a backend with an `address` they are its claim."
        ),
    ] = []
    unique_by: Annotated[
        list[Key],
        Meta(
            max_length=8,
            description="Keys that identify its sets, wherever a route does not set its own `unique_by`; two sets with "
            "the same values, or one with an empty value, are an error. Overrides what the backend itself declares.",
        ),
    ] = []
    expected: Annotated[
        bool,
        Meta(
            description="Until it has connected once, a name that its `application_sets` cover and that was never "
            "answered gets a 503, because an answer without its sets would be incomplete. Names that have a baseline "
            "are not affected. `false`: do not wait for it. Has no effect with an `address`.",
            extra={"expected": "true or false"},
        ),
    ] = True
    addresses: Annotated[
        list[Pattern],
        Meta(
            description="Patterns of the addresses (`host:port`) it may register for the hub to connect to. None by "
            "default, so that a backend cannot point the hub at arbitrary addresses. Loopback, link-local, metadata "
            "and IPv4-mapped addresses need a pattern that names the host, such as `127.0.0.1:*`; so do such addresses "
            "behind a name that a wildcard admits."
        ),
    ] = []
    address: Annotated[
        str,
        Meta(
            description="Where the hub connects to it: `host:port`, or a gRPC target such as `dns:///name:port`. It "
            "connects to every address that the host name resolves to; see `dial`.",
            extra={"expected": 'an address such as "images:50051"'},
        ),
    ] = ""
    call_tls: Annotated[CallTls | None, Meta(description="TLS when the hub connects to it; default: plain text.")] = (
        None
    )
    call_token: Annotated[
        TokenFile | None, Meta(description="The bearer token that the hub sends when it connects to it.")
    ] = None


class MergeOn(_Entry, frozen=True, kw_only=True):
    """How sets of different members are matched."""

    form: ClassVar[str] = "{on: [KEY]}"

    on: Annotated[list[Key], Meta(min_length=1, description="Keys whose values must be equal.")]


class Merge(_Entry, frozen=True, kw_only=True):
    """The first member's sets, each enriched by the other members' sets with equal keys."""

    form: ClassVar[str] = "{merge: {on: [KEY]}}"

    merge: MergeOn


class ReleaseAfter(_Entry, frozen=True, kw_only=True):
    """Release without an operator."""

    form: ClassVar[str] = "{after: DURATION}"

    after: Annotated[
        Duration, Meta(description="A held answer is accepted after the same answer has been returned for this long.")
    ]


Share = Annotated[
    str,
    Meta(pattern=PERCENT_PATTERN, extra={"expected": 'a percentage from "0%" to "100%", such as "50%"'}),
]


ListPath = Annotated[
    str,
    Meta(
        pattern=LIST_PATH_PATTERN,
        extra={"expected": 'the path of a list, such as "branches" or "spec.branches[].name"'},
    ),
]


class GuardTotal(_Entry, frozen=True, kw_only=True):
    """When an answer is held because of what all ApplicationSets of the hub have lost within `guard.window`."""

    max_drop: Annotated[
        Share,
        Meta(
            description="Hold an answer if more than this share of all parameter sets is then lost, in at least two "
            "ApplicationSets, …"
        ),
    ] = "20%"
    min_sets: Annotated[Count, Meta(description="… and at least this many.")] = 50


class Guard(_Entry, frozen=True, kw_only=True):
    """When an answer is held because too many of the previous sets are missing."""

    mode: Annotated[
        Literal["enforce", "observe", "off"],
        Meta(description="`enforce` holds such an answer (409). `observe` only counts and logs it. `off`: disabled."),
    ] = "enforce"
    max_drop: Annotated[
        Share | None,
        Meta(
            description="Hold an answer that is missing more than this share of the previous sets, … Default: 50% "
            "below 20 sets, 25% below 200, 10% from 200; a value here applies to any number of sets."
        ),
    ] = None
    min_sets: Annotated[Count, Meta(description="… and at least this many.")] = 5
    window: Annotated[
        Duration,
        Meta(
            description="The same limits apply to everything that an ApplicationSet loses in this time, across all "
            "its questions (in a matrix, each row is one). `0s`: each answer is judged alone."
        ),
    ] = "1h"
    max_change: Annotated[
        Share | None,
        Meta(
            description="Also hold an answer in which more than this share of the previous sets, and at least "
            "`min_sets`, have changed under the same keys (`unique_by`). Default: any number may change."
        ),
    ] = None
    count: Annotated[
        ListPath | None,
        Meta(
            description="A list in each set, such as `branches` or `spec.branches`: its elements are counted instead "
            "of the set, because a template makes an Application of each. `branches[].name`: this key identifies an "
            "element; otherwise the whole element does."
        ),
    ] = None
    release: Annotated[
        Literal["manual"] | ReleaseAfter,
        Meta(
            description="`manual`: an operator accepts. `{after: 30m}`: accepted after the same answer has been "
            "returned for this long."
        ),
    ] = "manual"
    ignore_inputs: Annotated[
        list[Key],
        Meta(
            description="Top-level inputs that change without changing which sets there should be, such as a commit or "
            "a timestamp. The guard compares an answer with the last one to the same question without them; otherwise "
            "each new value is a new question, whose first answer is accepted. The backend still gets the whole "
            "input; `stale_if_error` uses the last answer accepted for any value."
        ),
    ] = []
    keep: Annotated[
        Duration,
        Meta(
            description="A baseline that was used within this time is never removed to make room "
            "(`limits.kept_questions`)."
        ),
    ] = "30d"


class HubGuard(Guard, frozen=True, kw_only=True):
    """The guard of routes that do not set their own, and the limit across all ApplicationSets."""

    total: Annotated[
        GuardTotal,
        Meta(
            description="Limits what all ApplicationSets together lose within `guard.window`, even for routes with "
            "their own guard."
        ),
    ] = GuardTotal()


class StaleIfError(_Entry, frozen=True, kw_only=True):
    """The last accepted answer instead of an error."""

    form: ClassVar[str] = "{max_age: DURATION}"

    max_age: Annotated[Duration, Meta(description="Up to this age.")]


class Cache(_Entry, frozen=True, kw_only=True):
    """How long an accepted answer is reused without calling the backend; it counts from the start of the call."""

    fresh: Annotated[Duration, Meta(description="For backends that do not say how long their answers are fresh.")] = (
        "0s"
    )
    max: Annotated[
        Duration,
        Meta(
            description="Upper limit, also for what a backend says (`fresh_for`). The hub applies it and reports it "
            "once for each backend: as the notice `fresh_for_limited` and in `appset-hub backends list`."
        ),
    ] = "1m"


class Route(_Entry, frozen=True, kw_only=True):
    """Which backends answer a name, and how. The first route that matches is used."""

    form: ClassVar[str] = "{name: NAME, application_sets: [PATTERN], backends: [NAME]}"

    name: Annotated[Name, Meta(description="Used in paths, metrics and messages.")]
    application_sets: Annotated[
        list[Pattern], Meta(description="applicationSetName patterns. None: reachable only through the path.")
    ] = []
    parameters: Annotated[
        dict[str, Pattern],
        Meta(
            description="Patterns on top-level text values of the input; all must match.",
            extra={"expected": 'a mapping such as {env: "prod-*"}'},
        ),
    ] = {}
    backends: Annotated[list[Name], Meta(min_length=1, description="The members, in order; every one must answer.")]
    combine: Annotated[
        Literal["concat", "first"] | Merge,
        Meta(
            description="`concat`: all sets, in the members' order. `{merge: {on: [keys]}}`: the first member's sets, "
            "each enriched by the others' with equal keys; conflicts and duplicates are errors. `first`: the next "
            "member only if the previous one failed; an empty answer is an answer, and a busy backend has not failed."
        ),
    ] = "concat"
    deadline: Annotated[Duration | None, Meta(description="Overrides `deadline` for this route.")] = None
    wait_for_absent: Annotated[Duration | None, Meta(description="Overrides `wait_for_absent` for this route.")] = None
    wait_for_busy: Annotated[Duration | None, Meta(description="Overrides `wait_for_busy` for this route.")] = None
    max_in_flight: Annotated[Count | None, Meta(description="Overrides `route_max_in_flight` for this route.")] = None
    share_within: Annotated[Duration | None, Meta(description="Overrides `share_within` for this route.")] = None
    required_keys: Annotated[
        list[Key],
        Meta(description="Keys that every set must have, other than null or empty; an answer that lacks one is a 502."),
    ] = []
    unique_by: Annotated[
        list[Key],
        Meta(
            description="Keys that identify a set; two sets with the same values, or one with an empty value, are an "
            "error. The guard uses them to recognise a set whose other values changed. Without them it uses those of "
            "the backends, or those that an operator has taught; without any, it cannot tell a changed set from a "
            "missing one."
        ),
    ] = []
    numbers: Annotated[
        Literal["exact", "text"],
        Meta(
            description="`text` sends integers of any size as text, digit by digit; as numbers, Argo CD renders those "
            "from 1000000 on with an exponent."
        ),
    ] = "exact"
    nulls: Annotated[
        Literal["keep", "drop", "refuse"],
        Meta(description="`drop` leaves out keys whose value is null; `refuse` makes such an answer a 502."),
    ] = "keep"
    echo: Annotated[list[Key], Meta(description="Inputs that are copied into each set.")] = []
    guard: Annotated[Guard | None, Meta(description="Overrides `guard` for this route.")] = None
    stale_if_error: Annotated[StaleIfError | None, Meta(description="Overrides `stale_if_error` for this route.")] = (
        None
    )
    cache: Annotated[Cache | None, Meta(description="Overrides `cache` for this route.")] = None


class Admin(_Entry, frozen=True, kw_only=True):
    """Access to the admin port."""

    secret: ClassVar[bool] = True

    tokens: Annotated[
        list[TokenFile],
        Meta(description="Any of them may change state. Without one, only callers on loopback may."),
    ] = []


class Limits(_Entry, frozen=True, kw_only=True):
    """Resource limits; beyond one, requests get an error that names it."""

    max_head_bytes: Annotated[
        Bytes, Meta(description="Request line and headers; beyond this, a 400. Argo CD sends a few hundred bytes.")
    ] = 16 * 1024
    max_body_bytes: Annotated[Bytes, Meta(description="Request body; beyond this, a 413.")] = 1024 * 1024
    max_input_depth: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_LEVELS,
            description=f"Levels of nesting in `input.parameters`; beyond this, a 400. At most {MAX_LEVELS}.",
        ),
    ] = MAX_INPUT_DEPTH
    schema_time: Annotated[
        Duration,
        Meta(
            description="Time to check an input against a backend's schema, and to compile a schema; beyond this, a "
            "502. It applies to schemas that are not certain to be quick: those the hub checks in another process."
        ),
    ] = "1s"
    schema_memory_bytes: Annotated[
        ProcessBytes | None,
        Meta(
            description="Address space of each process (at most two) that checks inputs against such schemas. A "
            "process starts with about 60 MiB. At least 128 MiB. Default: 256 MiB, or a quarter of `limits.memory` if "
            "that is less."
        ),
    ] = None
    head_timeout: Annotated[
        Duration,
        Meta(
            description="Time for a request's head to arrive, from its first byte or from the beginning of the "
            "connection, and for a TLS handshake; beyond this, the connection ends. Argo CD sends a head at once."
        ),
    ] = "10s"
    body_timeout: Annotated[
        Duration, Meta(description="Time for a request's body to arrive, from the end of its head; beyond this, a 400.")
    ] = "10s"
    write_timeout: Annotated[
        Duration,
        Meta(
            description="Time for a client to read an answer; beyond this, the connection ends. Argo CD gives up after "
            "30 s."
        ),
    ] = "30s"
    keepalive: Annotated[
        Duration,
        Meta(
            description="How long idle connections are kept. Argo CD keeps them for 90 s and must be the first to "
            "close, because it does not repeat a request on a closed connection."
        ),
    ] = "120s"
    connections: Annotated[
        Count,
        Meta(
            description="Connections to the HTTP port. Beyond this, one that has not sent a request yet is closed, or "
            "one between requests; if all are busy, the new one gets a 503. The hub needs a file descriptor for each."
        ),
    ] = 8192
    idle_connections: Annotated[
        Count, Meta(description="Connections between requests; beyond this, the oldest is closed.")
    ] = 4096
    connections_per_peer: Annotated[
        Count,
        Meta(
            description="Connections from one address; beyond this, a 503. Behind a proxy, all clients may share one."
        ),
    ] = 4096
    refusals_per_second: Annotated[
        Count,
        Meta(
            description="Refusals that need no backend, such as a 429 or a wrong token. Beyond this, a caller still "
            "gets each one at once, but the hub reads the next request of that connection later, so that those who ask "
            "again and again do not slow down others. Callers that wait as long as `Retry-After` says do not notice."
        ),
    ] = 500
    breaker_failures: Annotated[
        int,
        Meta(
            ge=0,
            le=10**6,
            description="Failures of a backend in a row, after which questions that failed get the same error at once; "
            "one of them is tried every half second, and any answer ends it. `0`: every question is asked.",
        ),
    ] = 5
    requests_in_flight: Annotated[
        Count, Meta(description="Concurrent requests of all clients; beyond this, requests get a 503.")
    ] = 2048
    memory: Annotated[
        ProcessBytes | None,
        Meta(
            description="Memory of the hub, in bytes; at least 128 MiB. From 75 % of it on, the hub drops cached "
            "answers; from 90 % on, requests get a 503, before the platform ends the process. Default: the limit of "
            "the control group, that is, of the container; none without one."
        ),
    ] = None
    max_answer_bytes: Annotated[
        Bytes | None,
        Meta(
            description="One backend's answer, and a combined one. Default: 16 MiB, or a sixty-fourth of "
            "`limits.memory` if that is less: 8 MiB in a container with 512 MiB."
        ),
    ] = None
    max_sets: Annotated[Count, Meta(description="Parameter sets in one answer.")] = 20_000
    max_depth: Annotated[
        int, Meta(ge=1, le=MAX_LEVELS, description=f"Levels of nesting in a parameter set; at most {MAX_LEVELS}.")
    ] = 32
    remembered_entries: Annotated[
        Count,
        Meta(description="Questions whose last answer is kept in memory, so that an equal one is not parsed again."),
    ] = 10_000
    remembered_bytes: Annotated[
        Bytes | None,
        Meta(description="Memory for them. Default: 128 MiB, or an eighth of `limits.memory` if that is less."),
    ] = None
    kept_questions: Annotated[
        Count,
        Meta(
            description="Questions whose baseline and history the store keeps. Above this, the hub removes those not "
            "asked within `guard.keep`, least recently asked first. If all were asked, none is removed and the hub "
            "reports it (`baselines_over_limit`); at twice this number it removes questions that were asked only once, "
            "more than a day ago, and then refuses new ones with a 503. The same number of last good answers and of "
            "audit log entries is kept."
        ),
    ] = 100_000
    lease: Annotated[Duration, Meta(description="How long a registration lasts without renewal.")] = "15s"
    heartbeat: Annotated[
        Duration,
        Meta(
            description="On the stream of an attached backend, either side sends a heartbeat after this long without "
            "anything else to send, and treats the stream as lost after five times as long without hearing anything. "
            "Keep it shorter than the idle timeout of any proxy between backends and the hub; the default fits a "
            "timeout of 3 s. At least 100 ms. Backends that do not support heartbeats get none."
        ),
    ] = "2s"
    backend_in_flight: Annotated[
        Count, Meta(description="Concurrent questions per instance, unless the instance states its own limit.")
    ] = 256
    max_backend_in_flight: Annotated[Count, Meta(description="Upper limit on what an instance may state.")] = 1024
    max_instances: Annotated[Count, Meta(description="Instances of one backend.")] = 1000


class Dial(_Entry, frozen=True, kw_only=True):
    """Backends that the hub connects to: how their names are resolved, and when the hub gives up on an instance."""

    resolve_every: Annotated[
        Duration,
        Meta(
            description="How often a host name is looked up while all its addresses work; at least 1s. When one of "
            "them fails, it is looked up at once, but at most once a second."
        ),
    ] = "25s"
    max_addresses: Annotated[
        Count, Meta(description="Addresses behind one name that the hub connects to; more are ignored and logged.")
    ] = 100
    check_after: Annotated[
        Duration,
        Meta(
            description="When a question is waiting and nothing has come from the instance for this long, the hub "
            "sends it a health check, over the same connection and then over a new one (2 s each). Any reply will do. "
            "If there is none and no new connection either, its questions move to another instance or get a 503, and "
            "it gets no more until it answers a health check."
        ),
    ] = "5s"
    give_up_after: Annotated[
        Duration,
        Meta(
            description="The same happens to an instance that accepts new connections but answers neither questions "
            "nor health checks for this long: it is frozen behind a proxy, or busy with one slow question. If a "
            "backend answers only one question at a time, this must be longer than its slowest answer."
        ),
    ] = "15s"


class Drain(_Entry, frozen=True, kw_only=True):
    """How the hub stops on SIGTERM."""

    delay: Annotated[
        Duration,
        Meta(
            description="Keep answering for this long, with `Connection: close`, so that callers and load balancers "
            "move to another replica."
        ),
    ] = "5s"
    timeout: Annotated[Duration, Meta(description="Then wait up to this long for requests in flight.")] = "30s"


class Log(_Entry, frozen=True, kw_only=True):
    """What the hub writes to standard error."""

    format: Annotated[
        Literal["auto", "json", "human"], Meta(description="`auto`: `human` on a terminal, otherwise `json`.")
    ] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="The lowest level logged.")] = (
        "info"
    )


class Store(_Entry, frozen=True, kw_only=True):
    """Persistent state: what answers are compared to, and which backends exist."""

    form: ClassVar[str] = "{url: URL, expect: initialised}"

    url: Annotated[str, Meta(description="`sqlite:PATH`, or `memory:`.", extra={"expected": _STORE_URL})]
    expect: Annotated[
        Literal["any", "initialised"],
        Meta(
            description="`any`: the hub initialises an empty store, logs it, and believes the first answer to each "
            "question. `initialised`: an empty store may be a lost one, so every request gets a 503 until an operator "
            "runs `appset-hub store init` or restores the file. Use `initialised` in production."
        ),
    ] = "any"


class File(_Entry, frozen=True, kw_only=True):
    """All of `hub.yaml`."""

    listen: Annotated[Listen, Meta(description="The three ports.")] = Listen()
    tls: Annotated[Tls, Meta(description="TLS on the ports.")] = Tls()
    store: Annotated[
        str | Store,
        Meta(
            description="Persistent state: `sqlite:PATH`, or `memory:`, which is lost on exit, baselines included; or "
            'a mapping such as `{url: "sqlite:PATH", expect: initialised}`, of which a flag or variable replaces the '
            "`url` only. Changing it needs a restart.",
            extra={"expected": f"{_STORE_URL}, or {Store.form}"},
        ),
    ] = "sqlite:./appset-hub.db"
    deadline: Annotated[
        Duration,
        Meta(
            description="For a whole request. Argo CD times out after 30 s unless the ConfigMap sets `requestTimeout`."
        ),
    ] = "25s"
    wait_for_absent: Annotated[
        Duration,
        Meta(description="How long a request waits for a disconnected backend, within the deadline."),
    ] = "3s"
    startup_wait: Annotated[
        Duration,
        Meta(
            description="How long after its start `/readyz` waits for the backends that connected before, and for "
            "those with an `address`. Requests are answered meanwhile. `0s`: it does not wait. A change has no effect "
            "until the next start."
        ),
    ] = "10s"
    wait_for_busy: Annotated[
        Duration,
        Meta(
            description="How long a request waits for a backend whose instances are all at their `max_in_flight`, "
            "within the deadline. The time starts again whenever one of them finishes a question: the hub keeps "
            "waiting for a queue that moves. If none does, they hang, and further requests get a 503 at once. "
            "Raise it for a backend that takes longer per question and handles only a few at a time."
        ),
    ] = "3s"
    route_max_in_flight: Annotated[
        Count | None,
        Meta(
            description="Concurrent requests of one route; beyond this, requests get a 503, so that a route whose "
            "backends hang leaves capacity for the others. Names served by claims have the same limit for each set of "
            "backends. Requests answered from `cache` do not count. Default: half of the smallest `max_in_flight` of "
            "all clients, which is 128 unless they set it. Lower it if several routes share a backend, because they "
            "hang together."
        ),
    ] = None
    share_within: Annotated[
        Duration,
        Meta(
            description="Equal questions share one call to the backends if it started less than this ago; a later one "
            "starts its own, so no request gets an older answer, except from `cache` or `stale_if_error`. "
            "At most 3 equal calls run at a time. `0s`: nothing is shared."
        ),
    ] = "1s"
    proxy_from_environment: Annotated[
        bool,
        Meta(
            description="Connect to backends through the proxy that the environment variables `grpc_proxy`, "
            "`https_proxy` or `http_proxy` name, except for hosts in `no_proxy`. By default these are ignored, and the "
            "log says so once (`proxy_ignored`). Changing it needs a restart.",
            extra={"expected": "true or false"},
        ),
    ] = False
    clients: Annotated[list[Client], Meta(description="Callers over HTTP.")] = []
    backends: Annotated[
        list[Backend], Meta(description="Backends that may register, or that the hub connects to.")
    ] = []
    routes: Annotated[list[Route], Meta(description="Which backends answer which names.")] = []
    guard: Annotated[
        HubGuard, Meta(description="For routes that do not set their own guard, and for names served by claims.")
    ] = HubGuard()
    stale_if_error: Annotated[
        StaleIfError | None,
        Meta(
            description="When a member fails or is absent, or an answer is held: return the last accepted answer "
            "instead of an error. Not when the hub itself refuses because a limit is reached or it is shutting down. "
            "For routes that do not set it; off by default."
        ),
    ] = None
    cache: Annotated[Cache, Meta(description="For routes that do not set it.")] = Cache()
    admin: Annotated[Admin, Meta(description="The admin port.")] = Admin()
    limits: Annotated[Limits, Meta(description="Resource limits. Changes need a restart.")] = Limits()
    dial: Annotated[Dial, Meta(description="Backends that the hub connects to. Changes need a restart.")] = Dial()
    drain: Annotated[Drain, Meta(description="How the hub stops.")] = Drain()
    log: Annotated[Log, Meta(description="Logs. Changes need a restart.")] = Log()
