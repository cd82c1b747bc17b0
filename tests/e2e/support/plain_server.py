"""A plugin as it is mostly written: aiohttp, and nothing about its end. For comparison with a hub."""

from __future__ import annotations

import sys

from aiohttp import web


async def answer(_: web.Request) -> web.Response:
    return web.json_response({"output": {"parameters": [{"from": "images"}]}})


if __name__ == "__main__":
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
