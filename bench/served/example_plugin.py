"""Runs the example plugin of Argo CD's documentation, from its page: only the port and the token's path are ours."""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path

_PORT_ON_THE_PAGE = 4355
_TOKEN_ON_THE_PAGE = "/var/run/argo/token"
_CHANGES = 2


class _Ours(ast.NodeTransformer):
    """Puts our port and token where the page has its own, and counts them."""

    def __init__(self, port: int, token_file: str) -> None:
        self._values: dict[object, int | str] = {_PORT_ON_THE_PAGE: port, _TOKEN_ON_THE_PAGE: token_file}
        self.changed = 0

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, int | str) or node.value not in self._values:
            return node
        self.changed += 1
        return ast.copy_location(ast.Constant(self._values[node.value]), node)


def main() -> None:
    """Serve one port until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-file", required=True)
    options = parser.parse_args()
    found = re.search(r"^```python\n(.*?)^```$", options.page.read_text(), re.DOTALL | re.MULTILINE)
    if found is None:
        sys.exit("the page has no Python program")
    ours = _Ours(options.port, options.token_file)
    program = ours.visit(ast.parse(found.group(1)))
    if ours.changed != _CHANGES:
        sys.exit("the page's program is not the one that this file knows")
    # It writes a line a request to standard error, which the benchmark sends to a file as it does with the hub's log.
    exec(compile(program, str(options.page), "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
