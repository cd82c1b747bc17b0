"""Every way in which the hub refuses: one tree, each leaf with its stable reason and its HTTP status.

::

    HubError
    ├── InvalidRequest      400  the request is not what the contract says
    ├── InputRefused        400  a backend, or its schema, refuses the input
    ├── Forbidden           403
    │   ├── TokenMissing
    │   ├── TokenUnresolved
    │   ├── TokenWrong
    │   └── NotAllowed
    ├── NotFound            404
    │   ├── UnknownPath
    │   ├── UnknownRoute
    │   ├── UnknownBackend
    │   ├── NotHeld
    │   └── NobodyServes
    ├── MethodNotAllowed    405
    ├── AnswerHeld          409
    ├── KeysRefused         409  keys that an operator gives do not identify the sets of an answer
    ├── BodyTooLarge        413
    ├── EncodingRefused     415
    ├── ClientLimit         429
    ├── Unavailable         503
    │   ├── BackendAbsent
    │   ├── BackendUnresponsive
    │   ├── BackendNeverSeen
    │   ├── BackendBusy
    │   ├── BackendNotReady
    │   ├── Frozen
    │   ├── BaselinesFull
    │   ├── StoreNeeded
    │   ├── StoreFailed
    │   ├── StoreUninitialised
    │   ├── StoreLost
    │   ├── StoreDamaged
    │   ├── CheckFailed
    │   ├── RouteBusy
    │   ├── Shedding
    │   └── Draining
    ├── BadGateway          502
    │   ├── BackendFailed
    │   ├── LimitExceeded
    │   ├── SchemaLimit
    │   └── AnswerRefused
    ├── DeadlinePassed      504
    └── InternalError       500

Some are the hub's own choice, whatever the backends would have said (``is_own``). Nothing stands in for these: a hub
must not ask other members or give old answers because it is under load.

``str(error)`` is what the caller reads in the ApplicationSet's status: one line, no secret, and the same text for the
same fault, because Argo CD writes the status anew whenever the text changes.
"""

from __future__ import annotations

import math
from typing import ClassVar

from hub.core.texts import plain

MIN_RETRY_AFTER_S = 1
MAX_RETRY_AFTER_S = 3600


class HubError(Exception):
    """A refusal. Never raised itself; its leaves are. Its text becomes one line, and is cut when it is long."""

    status: ClassVar[int]
    reason: ClassVar[str]
    is_own: ClassVar[bool] = False
    retry_after_s: int | None = None

    def __init__(self, text: str) -> None:
        super().__init__(plain(text))


class InvalidRequest(HubError):
    """The request breaks the HTTP contract."""

    status = 400
    reason = "invalid_request"


class InputRefused(HubError):
    """The input is not one that the backend takes."""

    status = 400
    reason = "input_refused"


class Forbidden(HubError):
    """The caller may not ask this."""

    status = 403


class TokenMissing(Forbidden):
    """There is no bearer token in the request."""

    reason = "token_missing"


class TokenUnresolved(Forbidden):
    """Argo CD sent the reference itself, because it found no such key in its Secret."""

    reason = "token_unresolved"


class TokenWrong(Forbidden):
    """The token is no client's."""

    reason = "token_wrong"


class NotAllowed(Forbidden):
    """The client is known, but not for this name or route."""

    reason = "not_allowed"


class NotFound(HubError):
    """There is nothing here."""

    status = 404


class UnknownPath(NotFound):
    """No such path."""

    reason = "unknown_path"


class UnknownRoute(NotFound):
    """The path names a route that is not configured."""

    reason = "unknown_route"


class UnknownBackend(NotFound):
    """The command names a backend that is not configured."""

    reason = "unknown_backend"


class NotHeld(NotFound):
    """The command names an answer that is not held, or no longer."""

    reason = "not_held"


class NobodyServes(NotFound):
    """No route and no claim matches the name."""

    reason = "nobody_serves"


class MethodNotAllowed(HubError):
    """The path exists, the method does not."""

    status = 405
    reason = "method_not_allowed"


class AnswerHeld(HubError):
    """The guard holds the answer, because too much of what was there before is missing."""

    status = 409
    reason = "answer_held"


class KeysRefused(HubError):
    """Keys that an operator gives do not identify the sets of a held answer, or are not needed."""

    status = 409
    reason = "keys_refused"


class BodyTooLarge(HubError):
    """The request's body is over the limit."""

    status = 413
    reason = "body_too_large"


class EncodingRefused(HubError):
    """The request's body is compressed."""

    status = 415
    reason = "encoding_refused"


class ClientLimit(HubError):
    """This client has as many requests in flight as it may have."""

    status = 429
    reason = "client_limit"
    is_own = True
    retry_after_s = 5


class Unavailable(HubError):
    """Not now; the same request may succeed later."""

    status = 503
    retry_after_s = 5


class BackendAbsent(Unavailable):
    """A member of the route has no instance that can be asked."""

    reason = "backend_absent"


class BackendUnresponsive(Unavailable):
    """A dialled member has instances, but they answer neither questions nor health checks."""

    reason = "backend_unresponsive"


class BackendNeverSeen(Unavailable):
    """A name that was never answered may belong to a backend that has not connected to this hub yet."""

    reason = "backend_never_seen"


class BackendBusy(Unavailable):
    """Every instance of a member has as many questions in flight as it takes."""

    reason = "backend_busy"
    is_own = True


class BackendNotReady(Unavailable):
    """A backend says that it cannot answer yet; ``retry_after_s`` is when it expects to, within the hub's limits."""

    reason = "backend_not_ready"

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        if retry_after_s is not None:
            self.retry_after_s = math.ceil(min(max(retry_after_s, MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S))


class Frozen(Unavailable):
    """An operator froze the route, and the answer is not known to equal the last accepted one."""

    reason = "frozen"


class BaselinesFull(Unavailable):
    """A new question, and there is no room for one more baseline."""

    reason = "baselines_full"


class StoreNeeded(Unavailable):
    """Several claims meet on a name, and the store would forget them."""

    reason = "store_needed"


class StoreFailed(Unavailable):
    """What has to last could not be written or read."""

    reason = "store_failed"


class StoreUninitialised(Unavailable):
    """The store is empty where an initialised one is expected: what answers are compared to may be lost."""

    reason = "store_uninitialised"


class StoreLost(Unavailable):
    """The store's file was deleted, replaced or damaged under the running hub."""

    reason = "store_lost"


class StoreDamaged(Unavailable):
    """A record of the store cannot be read."""

    reason = "store_damaged"


class CheckFailed(Unavailable):
    """The process that checks large answers could not be started, or ended."""

    reason = "check_failed"


class RouteBusy(Unavailable):
    """The route has as many requests in flight as it may have."""

    reason = "route_busy"
    is_own = True


class Shedding(Unavailable):
    """The hub has as many requests in flight as it may have."""

    reason = "shedding"
    is_own = True


class Draining(Unavailable):
    """The hub is shutting down."""

    reason = "draining"
    is_own = True


class BadGateway(HubError):
    """A backend did not do its part."""

    status = 502


class BackendFailed(BadGateway):
    """A backend answered with a failure of its own."""

    reason = "backend_failed"


class LimitExceeded(BadGateway):
    """A backend says that the answer or the question is larger than one side accepts."""

    reason = "limit_exceeded"


class SchemaLimit(BadGateway):
    """Checking an input against a backend's schema takes more time or memory than allowed."""

    reason = "schema_limit"


class AnswerRefused(BadGateway):
    """An answer breaks the contract, so that Argo CD would misread it."""

    reason = "answer_refused"


class DeadlinePassed(HubError):
    """A member did not answer in time."""

    status = 504
    reason = "deadline_passed"


class InternalError(HubError):
    """A defect of the hub's own."""

    status = 500
    reason = "internal_error"


def leaves(tree: type[HubError] = HubError) -> list[type[HubError]]:
    """All errors that can be raised, for the documentation and for metrics that start at zero."""
    found = [leaf for child in tree.__subclasses__() for leaf in leaves(child)]
    return found or [tree]
