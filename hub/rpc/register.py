"""``RegistryService``: how backends make themselves known."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from appset_hub.v1 import registry_pb2

from hub.core.events import InternalFault, LeaseGranted, RegistrationRefused, StreamEnded, StreamOpened
from hub.core.registration import Malformed, RegistrationError
from hub.rpc import codec
from hub.rpc.attach import ProtocolBroken, Session, Silent
from hub.rpc.credentials import Credentials, Proof, certificate_names
from hub.rpc.handlers import NOT_DECODABLE, UNDECODABLE
from hub.rpc.leases import Leases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.core.directory import Instance
    from hub.service.membership import Membership
    from hub.service.ports import Clock, Events, Link

HELLO_WITHIN_S = 10.0  # Nobody holds a stream open without saying who it is.

_REVOKED = "its credentials are no longer valid"
_REVOKED_GRACE_S = 0.4  # For the answers that are on their way; the stream ends within a second.
_FAREWELL_S = 0.5  # For a status to leave on a stream that may be dead.


class Registry:
    """Checks who calls, and hands over to the membership."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        *,
        membership: Membership,
        credentials: Credentials,
        events: Events,
        clock: Clock,
        hub_instance: str,
        max_answer_bytes: int,
        heartbeat_s: float,
    ) -> None:
        self._membership = membership
        self._credentials = credentials
        self._events = events
        self._clock = clock
        self._hub_instance = hub_instance
        self._max_answer_bytes = max_answer_bytes
        self._heartbeat_s = heartbeat_s
        self._streams: set[_Stream] = set()
        self._leases = Leases(membership)

    def recheck(self) -> None:
        """End the streams and leases of those who could not attach or register now."""
        for stream in tuple(self._streams):
            self._recheck_stream(stream)
        for instance, proof in self._leases.held():
            self._recheck_lease(instance, proof)

    def _recheck_stream(self, stream: _Stream) -> None:
        error = self._refusal(stream.proof)
        if error is not None and not stream.revoked.done():
            stream.revoked.set_result(error)

    def _recheck_lease(self, instance: str, proof: Proof) -> None:
        if self._refusal(proof) is not None:
            self._membership.expel(proof.backend, instance, _REVOKED)

    def _refusal(self, proof: Proof) -> RegistrationError | None:
        try:
            self._credentials.check(proof.backend, proof.authorization, proof.names)
        except RegistrationError as error:
            return error
        return None

    async def Attach(self, _: Any, context: Any) -> None:  # noqa: N802 - the contract's name, as below.
        """Carry one attached instance's stream."""
        with self._defects_reported("Attach"):
            await self._attach(context)

    async def _attach(self, context: Any) -> None:
        await self._authenticate(context)
        hello = await self._hello(context)
        info = codec.info(hello.hello.backend)
        heartbeat_s = self._heartbeat_s if hello.hello.heartbeats else 0.0
        session = Session(self._clock, heartbeat_s=heartbeat_s, max_input_bytes=hello.hello.max_input_bytes)
        try:
            proof = self._proof(info.name, context)
            instance = await self._membership.attach(info, session)
        except RegistrationError as error:
            await self._abort(context, info.name, error)
        welcome = registry_pb2.Welcome(
            hub_instance=self._hub_instance,
            max_in_flight=instance.max_in_flight,
            max_answer_bytes=self._max_answer_bytes,
            ignored_application_sets=self._membership.ignored(info),
        )
        if heartbeat_s:
            codec.fill_duration(welcome.heartbeat, heartbeat_s)
        await self._carry(session, instance, _Stream(proof, welcome), context)

    async def _hello(self, context: Any) -> registry_pb2.AttachRequest:
        hello = await self._said(context)
        if hello.WhichOneof("kind") != "hello":
            await self._abort(context, "", Malformed("the first message must be hello"))
        message: registry_pb2.AttachRequest = hello
        return message

    async def _carry(self, session: Session, instance: Instance[Link], stream: _Stream, context: Any) -> None:
        cause = "its stream ended"
        started_s = self._clock()
        self._tell_opened(instance, context)
        self._streams.add(stream)
        self._recheck_stream(stream)  # The configuration may have changed while its claim was written down.
        running = asyncio.ensure_future(session.run(context, _Leaver(self._membership, instance), stream.welcome))
        try:
            await asyncio.wait((running, stream.revoked), return_when=asyncio.FIRST_COMPLETED)
            if stream.revoked.done():
                cause = _REVOKED
                self._membership.leave(instance, cause)  # Which asks it no more, and tells it to go.
                await asyncio.wait((running,), timeout=_REVOKED_GRACE_S)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await self._abort(context, instance.info.name, stream.revoked.result())
            await running
        except ProtocolBroken as error:
            cause = f"it broke the protocol: {error}"
            await self._abort(context, instance.info.name, Malformed(str(error)))
        except Silent as error:
            cause = str(error)
            # Before the farewell, which may never leave: its questions are asked elsewhere at once.
            self._membership.leave(instance, cause)
            session.lose()
            with suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await context.abort(grpc.StatusCode.UNAVAILABLE, f"no sign of life: {cause}")
        finally:
            self._streams.discard(stream)
            running.cancel()
            # First out of the directory, then the waiting askers: they must not pick this instance again.
            self._membership.leave(instance, cause)
            session.lose()
            self._tell_ended(instance, context, self._clock() - started_s, cause)

    def _tell_opened(self, instance: Instance[Link], context: Any) -> None:
        info = instance.info
        self._events.emit(
            StreamOpened(
                backend=info.name,
                instance=info.instance,
                peer=context.peer(),
                version=info.version,
                claims=info.application_sets,
                max_in_flight=instance.max_in_flight,
            )
        )

    def _tell_ended(self, instance: Instance[Link], context: Any, lasted_s: float, cause: str) -> None:
        name, peer = instance.info.name, context.peer()
        self._events.emit(
            StreamEnded(backend=name, instance=instance.info.instance, peer=peer, lasted_s=lasted_s, cause=cause)
        )

    async def Register(  # noqa: N802 - the contract's name
        self, _: Any, context: Any
    ) -> registry_pb2.RegisterResponse:
        """Grant or renew a lease."""
        with self._defects_reported("Register"):
            await self._authenticate(context)
            return await self._register(await self._said(context), context)

    async def _register(self, request: registry_pb2.RegisterRequest, context: Any) -> registry_pb2.RegisterResponse:
        info = codec.info(request.backend)
        try:
            proof = self._proof(info.name, context)
            if not request.address:
                raise Malformed("address is empty")
            ttl_s = await self._membership.register(info, request.address)
            self._leases.granted(info.instance, proof)
            self._recheck_lease(info.instance, proof)  # As for a stream.
        except RegistrationError as error:
            await self._abort(context, info.name, error)
        self._events.emit(
            LeaseGranted(backend=info.name, instance=info.instance, address=request.address, lease_s=ttl_s)
        )
        response = registry_pb2.RegisterResponse(ignored_application_sets=self._membership.ignored(info))
        codec.fill_duration(response.ttl, ttl_s)
        return response

    async def Deregister(  # noqa: N802 - the contract's name
        self, _: Any, context: Any
    ) -> registry_pb2.DeregisterResponse:
        """End a lease."""
        with self._defects_reported("Deregister"):
            await self._authenticate(context)
            request = await self._said(context)
            try:
                self._proof(request.name, context)
            except RegistrationError as error:
                await self._abort(context, request.name, error)
            self._membership.deregister(request.name, request.instance)
            return registry_pb2.DeregisterResponse()

    @contextmanager
    def _defects_reported(self, method: str) -> Iterator[None]:
        """Report what is no answer of ours: gRPC tells the caller only that it is UNKNOWN."""
        try:
            yield
        except grpc.aio.BaseError:
            raise
        except Exception:
            self._events.emit(InternalFault(where=method, request_id="", traceback=traceback.format_exc()))
            raise

    async def _authenticate(self, context: Any) -> None:
        """End the call of whoever is no backend, before anything that it says is read."""
        shown = _shown(context)
        try:
            self._credentials.check_known(shown.authorization, shown.names)
        except RegistrationError as error:
            await self._abort(context, "", error)

    async def _said(self, context: Any) -> Any:
        """The first message of a call."""
        message: Any = grpc.aio.EOF
        with suppress(TimeoutError):
            async with asyncio.timeout(HELLO_WITHIN_S):
                message = await context.read()
        if message is grpc.aio.EOF:
            await self._abort(context, "", Malformed(f"no message came within {HELLO_WITHIN_S:g} s"))
        if message is UNDECODABLE:
            await self._abort(context, "", Malformed(NOT_DECODABLE))
        return message

    def _proof(self, backend: str, context: Any) -> Proof:
        """How a caller proves to be a backend, once that is checked."""
        proof = _shown(context, backend)
        self._credentials.check(proof.backend, proof.authorization, proof.names)
        return proof

    async def _abort(self, context: Any, backend: str, error: RegistrationError) -> None:
        known = backend if self._credentials.knows(backend) else ""
        self._events.emit(RegistrationRefused(backend=known, code=error.code, detail=str(error)))
        await context.abort(grpc.StatusCode[error.code], str(error))


def _shown(context: Any, backend: str = "") -> Proof:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    names = tuple(certificate_names(context.auth_context() or {}))
    return Proof(backend=backend, authorization=metadata.get("authorization"), names=names)


class _Stream:
    """A stream that is open: how its backend proved itself, and the refusal once that is not enough any more."""

    def __init__(self, proof: Proof, welcome: registry_pb2.Welcome) -> None:
        self.proof = proof
        self.welcome = welcome
        self.revoked: asyncio.Future[RegistrationError] = asyncio.get_running_loop().create_future()


class _Leaver:
    """Passes on that an instance wants no more questions."""

    def __init__(self, membership: Membership, instance: Instance[Link]) -> None:
        self._membership = membership
        self._instance = instance

    def leaving(self) -> None:
        self._membership.leaving(self._instance)
