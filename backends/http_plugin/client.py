"""Asks the plugin as Argo CD would, and turns whatever goes wrong into one of the SDK's errors.

Messages are the same text for the same fault: no addresses, times or counters. So the plugin's own words are passed on
only where it rejects the input; all others are for the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
from appset_hub import BackendFault, BrokenAnswer, DeadlinePassed, InvalidInput, NotReady, QuestionFailed

from backends.http_plugin import envelope
from backends.mistakes import Mistake
from backends.peers import TooLong, read_body, read_secret

if TYPE_CHECKING:
    from appset_hub import Question

    from backends.http_plugin.config import Settings

_log = logging.getLogger(__name__)

_OK = 200
_BAD_INPUT = {400, 422}
_REFUSED = {401, 403}
_BUSY = {429, 503}
_REDIRECTS = range(300, 400)
# Of an error only a line is shown.
_LONGEST_ERROR_BYTES = 65_536
_LONGEST_SECONDS = 9  # Digits in Retry-After; the hub limits the time itself.

# The first that fits counts.
_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], type[QuestionFailed], str], ...] = (
    (
        (aiohttp.ClientConnectorCertificateError,),
        BackendFault,
        "the plugin's certificate is not one to believe; check base_url and ca_file",
    ),
    ((aiohttp.ClientConnectorSSLError,), BackendFault, "the plugin does not speak TLS as it should; check base_url"),
    ((aiohttp.ClientConnectorError,), NotReady, "the plugin cannot be reached; is it running, and base_url right?"),
    ((aiohttp.ClientPayloadError,), BrokenAnswer, "the plugin's answer was cut short"),
    (
        (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError),
        NotReady,
        "the plugin closed the connection before it answered",
    ),
    ((aiohttp.ClientResponseError,), BrokenAnswer, "the plugin's answer is not valid HTTP"),
)


class PluginClient:
    """One plugin, asked over one session. A connection serves one question.

    Kept connections would save a handshake, and now and then lose a question to a plugin that closes them: a POST on
    such a connection cannot be told from one that was heard.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        connector = aiohttp.TCPConnector(ssl=settings.tls or True, force_close=True, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()

    async def ask(self, question: Question) -> list[dict[str, Any]]:
        """Return the plugin's parameter sets.

        Raises:
            QuestionFailed: it gave none that can be trusted.
        """
        try:
            secret = await asyncio.to_thread(read_secret, self._settings.token_file)
        except Mistake as mistake:
            raise BackendFault(f"token_file: {mistake}") from mistake
        try:
            return await self._post(_request(question), secret)
        except TooLong as error:
            raise envelope.too_long(self._settings.max_answer_bytes) from error
        except TimeoutError as error:
            limit = f"{self._settings.timeout_s:g} s"
            raise DeadlinePassed(f"the plugin did not answer within {limit}, its timeout_s") from error
        except aiohttp.ClientError as error:
            raise _translated(error) from error

    async def _post(self, body: bytes, secret: str) -> list[dict[str, Any]]:
        headers = {
            "Accept-Encoding": "gzip",
            "Authorization": f"Bearer {secret}",
            "Content-Type": "application/json",
            "User-Agent": "appset-hub-http-plugin",
        }
        # A redirect would turn the POST into a GET, and may carry the token elsewhere.
        async with self._session.post(
            self._settings.url, data=body, headers=headers, allow_redirects=False
        ) as response:
            encoding = response.headers.get("Content-Encoding", "")
            if response.status != _OK:
                raise _refusal(response, await _said(response, encoding, secret))
            raw = await read_body(response, self._settings.max_answer_bytes)
        # A large answer takes a while.
        return await asyncio.to_thread(self._parse, raw, encoding)

    def _parse(self, raw: bytes, encoding: str) -> list[dict[str, Any]]:
        body = envelope.decompress(raw, encoding, self._settings.max_answer_bytes)
        return envelope.parse_sets(body, self._settings.empties)


def _request(question: Question) -> bytes:
    """Return the body that Argo CD would send; it leaves empty `parameters` out."""
    asked: dict[str, Any] = {"applicationSetName": question.application_set_name, "input": {}}
    if question.application_set_namespace:
        asked["applicationSetNamespace"] = question.application_set_namespace
    if question.parameters:
        asked["input"]["parameters"] = question.parameters
    return json.dumps(asked).encode()


async def _said(response: aiohttp.ClientResponse, encoding: str, secret: str) -> str:
    """Return what the plugin says of its error. Whatever is wrong with that, the status tells enough."""
    try:
        raw = await read_body(response, _LONGEST_ERROR_BYTES)
        return envelope.what_it_says(envelope.decompress(raw, encoding, _LONGEST_ERROR_BYTES), secret)
    except (BrokenAnswer, TooLong, TimeoutError, aiohttp.ClientError):
        return ""


def _refusal(response: aiohttp.ClientResponse, said: str) -> QuestionFailed:
    """Return the error for a status that is not 200. One that is 2xx may be a part of an answer, or none at all."""
    status = response.status
    text = f"the plugin answered with status {status}"
    if status in _BAD_INPUT:
        return InvalidInput(f"{text}: {said}" if said else text)
    if said:
        _log.warning("%s and said: %s", text, said)
    if status in _BUSY:
        return NotReady(text, retry_after_s=_retry_after_s(response.headers.get("Retry-After", "")))
    if status in _REFUSED:
        return BackendFault(f"{text}; is the token in token_file the one that it expects?")
    if status in _REDIRECTS:
        return BackendFault(f"{text}, a redirect; set base_url to where the plugin really is")
    return BackendFault(text)


def _retry_after_s(value: str) -> float | None:
    """Return the seconds in a Retry-After header, which holds a number or a date; `None` if it holds neither."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:_LONGEST_SECONDS])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _translated(error: aiohttp.ClientError) -> QuestionFailed:
    """Return the SDK's error for one of aiohttp."""
    for kinds, failure, text in _TRANSLATIONS:
        if isinstance(error, kinds):
            return failure(text)
    return BackendFault(f"the plugin cannot be asked: {type(error).__name__}")
