"""One HTTP request to a registry or its token server, and its reply. Knows no tokens, and nothing of what is asked.

Redirects are replies like others: whether one is followed is for the asker to decide. Errors name the registry, and
are the same text for the same fault.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from appset_hub import BackendFault, DeadlinePassed
from yarl import URL

from backends.nesting import is_deeper
from backends.peers import TooLong, read_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import CIMultiDictProxy

    from backends.oci.settings import RegistrySettings

# One retry, because an error costs Argo CD three minutes.
_ATTEMPTS = 2
_PASSING = {502, 503, 504}
_LONGEST_BODY_BYTES = 16 * 1024 * 1024


class RegistryFault(BackendFault):
    """A registry, or its token server, did not answer as it must."""

    def __init__(self, registry: str, problem: str) -> None:
        super().__init__(f'registry "{registry}" {problem}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, complete. `next_url` is where the answer goes on."""

    url: str
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    next_url: str | None = None

    def json_object(self) -> dict[str, Any] | None:
        """Return the body if it is a JSON object."""
        if is_deeper(self.body):
            return None
        try:
            value = json.loads(self.body.decode("utf-8-sig"))
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


class Wire:
    """Sends requests of one registry over the session that all share."""

    def __init__(self, settings: RegistrySettings, session: aiohttp.ClientSession) -> None:
        self._name = settings.name
        self._tls = settings.tls
        self._timeout_s = settings.timeout_s
        self._session = session

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], parameters: Mapping[str, str] | None = None
    ) -> Reply:
        """Return the reply. What fails in passing is tried once more: all requests here only read.

        Raises:
            RegistryFault: there is none, or not all of it.
            DeadlinePassed: it takes longer than `timeout_s`.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                reply = await self._send(method, url, headers, parameters)
            except aiohttp.ClientConnectorCertificateError as error:
                raise RegistryFault(
                    self._name, "has a certificate that is not to be believed; check ca_file"
                ) from error
            except TooLong as error:
                raise RegistryFault(self._name, f"answered with more than {_LONGEST_BODY_BYTES} bytes") from error
            except TimeoutError as error:
                limit = f"{self._timeout_s:g} s"
                raise DeadlinePassed(f'registry "{self._name}" did not answer within {limit}, its timeout_s') from error
            except aiohttp.ClientError as error:
                if attempt == _ATTEMPTS:
                    raise RegistryFault(self._name, _problem(error)) from error
            else:
                if reply.status not in _PASSING or attempt == _ATTEMPTS:
                    return reply
        raise AssertionError("the last attempt returns or raises")

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], parameters: Mapping[str, str] | None
    ) -> Reply:
        async with self._session.request(
            method,
            # As it is: another spelling would not fit the signature in it.
            URL(url, encoded=True),
            headers=headers,
            params=parameters,
            allow_redirects=False,
            ssl=self._tls,
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        ) as response:
            return Reply(
                url=str(response.url),
                status=response.status,
                headers=response.headers,
                body=await read_body(response, _LONGEST_BODY_BYTES),
                next_url=self._next(response),
            )

    def _next(self, response: aiohttp.ClientResponse) -> str | None:
        link = response.links.get("next")
        if link is not None:
            return str(link["url"])
        if any("next" in header for header in response.headers.getall("Link", [])):
            # Without the rest, the list would be short.
            raise RegistryFault(self._name, "answered with a Link that cannot be read")
        return None


def _problem(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "does not speak TLS as it should; check url"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "cannot be reached; is it running, and url right?"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "cut its answer short"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return "closed the connection before it answered"
    return f"gave an answer that is not valid HTTP ({type(error).__name__})"
