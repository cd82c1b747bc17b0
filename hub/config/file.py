"""The shape of ``hub.yaml``: every key with its meaning, its default and the reason for it.

The reference page and the JSON Schema are made from this module.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hub.core.nesting import MAX_LEVELS

# In Python "$" matches before a line break too; what follows it here says that there is none.
DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$(?!\n)"
PERCENT_PATTERN = r"^(100|[0-9]{1,2}(\.[0-9]+)?)%$(?!\n)"
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$(?!\n)"  # A DNS-1123 label.

Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, examples=["500ms", "25s", "30m"])]
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Pattern = Annotated[str, Meta(min_length=1, max_length=253)]
Key = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1)]
Path = Annotated[str, Meta(min_length=1)]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping of the file; a key that is not declared is a mistake."""


class Listen(_Entry, frozen=True, kw_only=True):
    """Where the hub listens: `host:port`, or `:port` for every address of the machine. Changing it needs a restart."""

    http: Annotated[str, Meta(description="For Argo CD.")] = ":4355"
    grpc: Annotated[str, Meta(description="For backends.")] = ":4356"
    admin: Annotated[str, Meta(description="For metrics, probes and the commands of operators.")] = ":4357"


class ServerTls(_Entry, frozen=True, kw_only=True):
    """Files of a port's certificate; they are read again when they change."""

    certificate: Annotated[Path, Meta(description="The certificate chain, PEM.")]
    key: Annotated[Path, Meta(description="Its key, PEM.")]
    client_ca: Annotated[
        str,
        Meta(description="Only callers with a certificate of this CA, PEM, may connect. Empty: no one is asked."),
    ] = ""


class Tls(_Entry, frozen=True, kw_only=True):
    """TLS on the ports; a port that is not named here is plain."""

    http: Annotated[ServerTls | None, Meta(description="The port for Argo CD.")] = None
    grpc: Annotated[ServerTls | None, Meta(description="The port for backends.")] = None


class TokenFile(_Entry, frozen=True, kw_only=True):
    """A secret in a file. White space around it is ignored; the file is read again when it changes."""

    file: Annotated[Path, Meta(description="The file. A relative path starts at the configuration's folder.")]


class Client(_Entry, frozen=True, kw_only=True):
    """Who may call over HTTP. A token proves which ConfigMap was used, not who wrote the ApplicationSet."""

    name: Annotated[Name, Meta(description="Shown in logs and messages.")]
    tokens: Annotated[
        list[TokenFile],
        Meta(min_length=1, description="Any of them is good, so that a token can be rotated without a gap."),
    ]
    application_sets: Annotated[
        list[Pattern], Meta(description="Glob patterns of the names that this client may ask for.")
    ] = msgspec.field(default_factory=lambda: ["*"])
    routes: Annotated[
        list[Pattern],
        Meta(description="Glob patterns of the routes that it may use; names without a configured route need `*`."),
    ] = msgspec.field(default_factory=lambda: ["*"])
    max_in_flight: Annotated[
        Count, Meta(description="Requests at the same time; one more is a 429. Argo CD reconciles ten sets at once.")
    ] = 256


class CallTls(_Entry, frozen=True, kw_only=True):
    """TLS towards a backend that the hub calls."""

    ca: Annotated[str, Meta(description="The CA of the backend's certificate, PEM. Empty: the system's.")] = ""
    certificate: Annotated[str, Meta(description="The hub's own certificate, PEM, if the backend asks for one.")] = ""
    key: Annotated[str, Meta(description="Its key, PEM.")] = ""
    server_name: Annotated[
        str, Meta(description="The name that the backend's certificate must have, if it is not the address's.")
    ] = ""


class Backend(_Entry, frozen=True, kw_only=True):
    """Who may register, and for what. A backend that nothing here lets in, and that has no address, is a mistake."""

    name: Annotated[Name, Meta(description="The name under which it registers, and that routes use.")]
    tokens: Annotated[list[TokenFile], Meta(description="Any of them proves that a caller is this backend.")] = []
    certificates: Annotated[
        list[str],
        Meta(
            description="Names in client certificates that prove it; needs `tls.grpc.client_ca`. With tokens as well, "
            "both are needed."
        ),
    ] = []
    application_sets: Annotated[
        list[Pattern],
        Meta(
            description="Glob patterns of the names that it may claim. A claim counts only inside them; without any it "
            "serves only routes that name it. For a backend with an `address` they are its claim."
        ),
    ] = []
    addresses: Annotated[
        list[Pattern],
        Meta(
            description="Glob patterns of the addresses under which it may register to be dialled. None by default, so "
            "that nobody points the hub at a place of his choice."
        ),
    ] = []
    address: Annotated[
        str, Meta(description="Where the hub dials it: `host:port`, or a gRPC target such as `dns:///name:port`.")
    ] = ""
    call_tls: Annotated[CallTls | None, Meta(description="TLS when the hub dials it; plain without.")] = None
    call_token: Annotated[
        TokenFile | None, Meta(description="The bearer token that the hub shows when it dials it.")
    ] = None


class MergeOn(_Entry, frozen=True, kw_only=True):
    """How sets of different members find each other."""

    on: Annotated[list[Key], Meta(min_length=1, description="Keys whose values must be equal.")]


class Merge(_Entry, frozen=True, kw_only=True):
    """The first member's sets, each enriched by the other members' sets with equal keys."""

    merge: MergeOn


class ReleaseAfter(_Entry, frozen=True, kw_only=True):
    """Release without an operator."""

    after: Annotated[
        Duration, Meta(description="A held answer is accepted when equal answers have been given for this long.")
    ]


class Guard(_Entry, frozen=True, kw_only=True):
    """When an answer is held, because too many of the sets that were there before are missing."""

    mode: Annotated[
        Literal["enforce", "observe", "off"],
        Meta(description="`enforce` holds, with a 409. `observe` only counts and logs. `off` does not look."),
    ] = "enforce"
    max_drop: Annotated[
        str,
        Meta(
            pattern=PERCENT_PATTERN,
            description="Held is what loses more than this part of the last accepted answer's sets …",
        ),
    ] = "50%"
    min_sets: Annotated[Count, Meta(description="… and at least so many of them.")] = 5
    release: Annotated[
        Literal["manual"] | ReleaseAfter,
        Meta(description="`manual`: an operator accepts. `{after: 30m}`: equal answers for so long are accepted."),
    ] = "manual"


class StaleIfError(_Entry, frozen=True, kw_only=True):
    """The last accepted answer instead of an error."""

    max_age: Annotated[Duration, Meta(description="No older than this.")]


class Cache(_Entry, frozen=True, kw_only=True):
    """How long an accepted answer is given again without asking."""

    fresh: Annotated[Duration, Meta(description="For a backend that does not say how long its answers are fresh.")] = (
        "0s"
    )
    max: Annotated[Duration, Meta(description="What a backend says is never taken for more than this.")] = "1m"


class Route(_Entry, frozen=True, kw_only=True):
    """Which backends answer a name, and how. The first route that matches is taken."""

    name: Annotated[Name, Meta(description="Its name in paths, metrics and messages.")]
    application_sets: Annotated[
        list[Pattern], Meta(description="Glob patterns on the name. None: only a path can name this route.")
    ] = []
    parameters: Annotated[
        dict[str, Pattern],
        Meta(description="Glob patterns on top-level texts of the input; all must match."),
    ] = {}
    backends: Annotated[list[Name], Meta(min_length=1, description="The members, in order; every one must answer.")]
    combine: Annotated[
        Literal["concat", "first"] | Merge,
        Meta(
            description="`concat`: all sets, in the members' order. `{merge: {on: [keys]}}`: the first member's sets, "
            "each enriched by the others' with equal keys; conflicts and duplicates are errors. `first`: the next "
            "member only if the one before failed; an empty answer is an answer."
        ),
    ] = "concat"
    deadline: Annotated[Duration | None, Meta(description="As `deadline`, for this route.")] = None
    wait_for_absent: Annotated[Duration | None, Meta(description="As `wait_for_absent`, for this route.")] = None
    required_keys: Annotated[
        list[Key], Meta(description="Keys that every set must have; an answer that lacks one is a 502.")
    ] = []
    unique_by: Annotated[
        list[Key],
        Meta(
            description="No two sets may have equal values under these keys. They also tell the guard which set is "
            "which; without them a set is another one as soon as anything in it changes."
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
    guard: Annotated[Guard | None, Meta(description="As `guard`, for this route.")] = None
    stale_if_error: Annotated[StaleIfError | None, Meta(description="As `stale_if_error`, for this route.")] = None
    cache: Annotated[Cache | None, Meta(description="As `cache`, for this route.")] = None


class Admin(_Entry, frozen=True, kw_only=True):
    """Who may change state on the admin port."""

    tokens: Annotated[
        list[TokenFile], Meta(description="Any of them is good. Without one, only callers on loopback may.")
    ] = []


class Limits(_Entry, frozen=True, kw_only=True):
    """How much of everything; what is over a limit is refused with an error that names it."""

    max_head_bytes: Annotated[
        Count, Meta(description="Of a request line with its headers; more is a 400. Argo CD's have some hundred bytes.")
    ] = 16 * 1024
    max_body_bytes: Annotated[Count, Meta(description="Of a request's body; more is a 413.")] = 1024 * 1024
    body_timeout: Annotated[Duration, Meta(description="A request's body must be there after this long.")] = "10s"
    keepalive: Annotated[
        Duration,
        Meta(
            description="Idle connections are kept this long. Argo CD keeps them for 90 s, and must be the first "
            "to close, because it does not repeat a request on a connection that closes."
        ),
    ] = "120s"
    requests_in_flight: Annotated[Count, Meta(description="Of all clients; one more is a 503.")] = 2048
    max_answer_bytes: Annotated[Count, Meta(description="Of one backend's answer, and of a combined one.")] = (
        16 * 1024 * 1024
    )
    max_sets: Annotated[Count, Meta(description="Parameter sets in one answer.")] = 20_000
    max_depth: Annotated[
        int, Meta(ge=1, le=MAX_LEVELS, description=f"Levels of nesting in a parameter set; at most {MAX_LEVELS}.")
    ] = 32
    remembered_entries: Annotated[
        Count, Meta(description="Questions whose last answer is kept, so that an equal one need not be read again.")
    ] = 10_000
    remembered_bytes: Annotated[Count, Meta(description="Memory for them.")] = 128 * 1024 * 1024
    kept_questions: Annotated[
        Count,
        Meta(
            description="Questions of which the store keeps the guard's baseline, the history and the last good "
            "answer; those that changed longest ago go first. The audit log keeps as many entries."
        ),
    ] = 100_000
    lease: Annotated[Duration, Meta(description="How long a registration lasts unless it is renewed.")] = "15s"
    backend_in_flight: Annotated[
        Count, Meta(description="Questions at once for an instance that does not say how many it takes.")
    ] = 256
    max_backend_in_flight: Annotated[Count, Meta(description="Questions at once for any instance.")] = 1024
    max_instances: Annotated[Count, Meta(description="Instances of one backend.")] = 1000


class Drain(_Entry, frozen=True, kw_only=True):
    """How the hub stops on SIGTERM."""

    delay: Annotated[
        Duration,
        Meta(
            description="It goes on answering for this long, with `Connection: close`, so that callers and load "
            "balancers go elsewhere."
        ),
    ] = "5s"
    timeout: Annotated[Duration, Meta(description="Then it waits this long for what is in flight.")] = "30s"


class Log(_Entry, frozen=True, kw_only=True):
    """What the hub writes to standard error."""

    format: Annotated[
        Literal["auto", "json", "human"], Meta(description="`auto` is `human` at a terminal, `json` elsewhere.")
    ] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="The least that is written.")] = (
        "info"
    )


class File(_Entry, frozen=True, kw_only=True):
    """The whole of `hub.yaml`."""

    listen: Annotated[Listen, Meta(description="The three ports.")] = Listen()
    tls: Annotated[Tls, Meta(description="TLS on the ports.")] = Tls()
    store: Annotated[
        str,
        Meta(
            description="What has to last, such as which backends there are: `sqlite:PATH`, or `memory:`, which "
            "forgets. Changing it needs a restart."
        ),
    ] = "sqlite:./appset-hub.db"
    deadline: Annotated[
        Duration, Meta(description="For a whole request. Argo CD hangs up after 30 s unless its ConfigMap says else.")
    ] = "25s"
    wait_for_absent: Annotated[
        Duration,
        Meta(description="How long a question waits for a backend that is not connected, inside the deadline."),
    ] = "3s"
    clients: Annotated[list[Client], Meta(description="Who may call over HTTP.")] = []
    backends: Annotated[list[Backend], Meta(description="Who may register, and whom the hub dials.")] = []
    routes: Annotated[list[Route], Meta(description="Which backends answer which names.")] = []
    guard: Annotated[
        Guard, Meta(description="For routes that have no guard of their own, those made of claims included.")
    ] = Guard()
    stale_if_error: Annotated[
        StaleIfError | None,
        Meta(
            description="When a member fails or is absent, or an answer is held: give the last accepted answer instead "
            "of an error. For routes that do not say themselves; none by default."
        ),
    ] = None
    cache: Annotated[Cache, Meta(description="For routes that have no cache of their own.")] = Cache()
    admin: Annotated[Admin, Meta(description="The admin port.")] = Admin()
    limits: Annotated[Limits, Meta(description="How much of everything. Changing them needs a restart.")] = Limits()
    drain: Annotated[Drain, Meta(description="How the hub stops.")] = Drain()
    log: Annotated[Log, Meta(description="Logs. Changing them needs a restart.")] = Log()
