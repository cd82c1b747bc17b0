"""Plugins that speak HTTP themselves: one that does its work, for nginx, and one that returns a constant."""

from __future__ import annotations

import argparse
import json

import uvloop
from aiohttp import web
from answers import json_of, sets_for

_PATH = "/api/v1/getparams.execute"


def working(token: str) -> web.Application:
    """Checks the token, reads the question, answers it."""

    async def execute(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {token}":
            return web.json_response({"message": "wrong token"}, status=403)
        parameters = (await request.json())["input"]["parameters"]
        body = json.dumps({"output": {"parameters": sets_for(parameters)}}, separators=(",", ":")).encode()
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.add_routes([web.post(_PATH, execute)])
    return app


def constant() -> web.Application:
    """Does nothing: what is left is the cost of the HTTP layer."""
    body = b'{"output":{"parameters":' + json_of(2) + b"}}"

    async def execute(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.add_routes([web.post(_PATH, execute)])
    return app


def main() -> None:
    """Serve one port until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", help="without one, a constant is returned")
    options = parser.parse_args()
    app = constant() if options.token is None else working(options.token)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=options.port, access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main()
