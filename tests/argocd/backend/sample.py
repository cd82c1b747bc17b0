"""Runs the sample plugin of Argo CD's documentation, taken from its page, with the script as its author.

Nothing of the page is copied here. Its program runs as it stands, except for three things that any reader would
change too: the port, the path of the token, and the list of parameter sets, which the script's author returns.
"""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path
from typing import Any

from author import act, read_script

PORT_ON_THE_PAGE = 4355
TOKEN_ON_THE_PAGE = "/var/run/argo/token"


class Adapt(ast.NodeTransformer):
    """Puts our port, our token and our author where the page has its own. Counts what it changed."""

    def __init__(self, port: int, token_file: str) -> None:
        self._port = port
        self._token_file = token_file
        self.changed: list[str] = []

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if node.value == PORT_ON_THE_PAGE:
            self.changed.append("port")
            return ast.copy_location(ast.Constant(self._port), node)
        if node.value == TOKEN_ON_THE_PAGE:
            self.changed.append("token")
            return ast.copy_location(ast.Constant(self._token_file), node)
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        for index, key in enumerate(node.keys):
            if isinstance(key, ast.Constant) and key.value == "parameters":
                self.changed.append("parameters")
                node.values[index] = ast.parse("author(args)", mode="eval").body
        self.generic_visit(node)
        return ast.fix_missing_locations(node)


def program(page: str) -> str:
    """Return the page's first Python program."""
    found = re.search(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SystemExit("the page has no Python program")
    return found.group(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()

    adapt = Adapt(options.port, options.token_file)
    tree = adapt.visit(ast.parse(program(options.page.read_text())))
    if sorted(adapt.changed) != ["parameters", "port", "token"]:
        raise SystemExit(f"the page's program is not the one that this file knows: changed {adapt.changed}")

    def author(args: dict[str, Any]) -> Any:
        return act(read_script(options.script), args["input"].get("parameters") or {})

    exec(compile(tree, str(options.page), "exec"), {"__name__": "__main__", "author": author})


if __name__ == "__main__":
    main()
