"""Mistakes in the configuration, one or two lines each: what ``appset-hub config check`` says, word for word.

Each case changes a small good file, so every line number below is that of the mistake.
"""
# ruff: noqa: E501 - messages are easier to compare unbroken.

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hub.cli import main
from tests.e2e.support.rig import ROOT
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from tests.e2e.support.rig import Rig

BASE = """\
clients:
  - name: argocd
    tokens: [{file: argocd.token}]
backends:
  - name: images
    tokens: [{file: images.token}]
    application_sets: ["fb-*"]
"""
ROUTE = """\
routes:
  - name: previews
    application_sets: ["fb-*"]
    backends: [images]
"""
OWNERS = "  - {name: owners, tokens: [{file: owners.token}]}\n"
MINIMAL = "a minimal file is: clients: [{name: argocd, tokens: [{file: argocd.token}]}]"
UNITS = "the units are ms, s, m, h and d"
TOP = (
    "listen, tls, store, deadline, wait_for_absent, startup_wait, wait_for_busy, route_max_in_flight, share_within, "
    "proxy_from_environment, clients, backends, routes, guard, stale_if_error, cache, admin, limits, dial, drain, log"
)
LISTEN = 'expected an address such as ":4355" or "127.0.0.1:4355"'
PERCENT = 'expected a percentage from "0%" to "100%", such as "50%"'
FILES_ONLY = "secrets come only from files"


def client(text: str) -> str:
    """The base with other words for the client's token."""
    return BASE.replace("tokens: [{file: argocd.token}]", text)


def http_tls(certificate: str, key: str, more: str = "") -> str:
    return BASE + f"tls: {{http: {{certificate: {certificate}, key: {key}{more}}}}}\n"


ERRORS: dict[str, tuple[str, list[str]]] = {
    # Keys.
    "a misspelt key": (BASE + "deadlin: 25s\n", ['8: deadlin: unknown key; did you mean "deadline"?']),
    "a misspelt key inside": (
        BASE + "limits: {max_set: 5}\n",
        ['8: limits.max_set: unknown key; did you mean "max_sets"?'],
    ),
    "a key in another case": (
        BASE.replace("application_sets", "applicationSets"),
        ['7: backends[0].applicationSets: unknown key; did you mean "application_sets"?'],
    ),
    "token for tokens": (
        client("token: [{file: argocd.token}]"),
        ['3: clients[0].token: unknown key; did you mean "tokens"?'],
    ),
    "a misspelt key beside the right one": (
        BASE + ROUTE + "client: []\nroute: []\n",
        ['12: client: unknown key; did you mean "clients"?', '13: route: unknown key; did you mean "routes"?'],
    ),
    "a key of another section": (
        BASE + "max_sets: 5\n",
        ['8: max_sets: unknown key here; did you mean "limits.max_sets"?'],
    ),
    "a key that is like no other": (BASE + "replicas: 2\n", [f"8: replicas: unknown key; allowed are {TOP}"]),
    "a key that is missing": (
        BASE.replace("  - name: images\n    tokens", "  - tokens"),
        [
            (
                '5: backends[0].name: is required: a name such as "images" (a DNS-1123 label: up to 63 lower-case letters, '
                "digits and hyphens)"
            )
        ],
    ),
    # Secrets.
    "a file as tokens": (
        client("tokens: argocd.token"),
        [f"3: clients[0].tokens: expected a list of {{file: PATH}}, got text; {FILES_ONLY}"],
    ),
    "a list of files as tokens": (
        client("tokens: [argocd.token]"),
        [f"3: clients[0].tokens[0]: expected {{file: PATH}}, got text; {FILES_ONLY}"],
    ),
    "a token in the file": (
        client("tokens: [{value: abc}]"),
        [f"3: clients[0].tokens[0]: unknown key; expected {{file: PATH}}; {FILES_ONLY}"],
    ),
    "no tokens": (client("tokens: []"), ["3: clients[0].tokens: is empty; expected a list of {file: PATH}"]),
    "a token file that is missing": (
        client("tokens: [{file: none.token}]"),
        ["3: clients[0].tokens[0].file: cannot read this file: No such file or directory"],
    ),
    "a token file that is missing in its folder": (
        client("tokens: [{file: tokens/none}]"),
        ['3: clients[0].tokens[0].file: cannot read "tokens/none": No such file or directory'],
    ),
    "a folder as token file": (
        client("tokens: [{file: .}]"),
        ["3: clients[0].tokens[0].file: cannot read this file: it is a directory"],
    ),
    "a pipe as token file": (
        client("tokens: [{file: pipe}]"),
        ["3: clients[0].tokens[0].file: cannot read this file: it is not a regular file"],
    ),
    "a path with a NUL": (
        client('tokens: [{file: "a\\0b"}]'),
        ["3: clients[0].tokens[0].file: cannot read this file: a path cannot contain a NUL character"],
    ),
    "an empty token file": (
        client("tokens: [{file: empty}]"),
        ['3: clients[0].tokens[0].file: "empty" is empty; expected one token'],
    ),
    "two tokens in a file": (
        client("tokens: [{file: two}]"),
        ['3: clients[0].tokens[0].file: "two" holds a token with whitespace inside; expected one token, nothing else'],
    ),
    "two clients with one token": (
        client("tokens: [{file: argocd.token}]\n  - name: other\n    tokens: [{file: copy.token}]"),
        [
            (
                '5: clients[1].tokens[0].file: clients "argocd" and "other" share a token; each client needs its own '
                "(also clients[0].tokens[0].file, line 3)"
            )
        ],
    ),
    "two backends with one token": (
        BASE + "  - name: owners\n    tokens: [{file: images.token}]\n    application_sets: [own]\n",
        [
            (
                '9: backends[1].tokens[0].file: backends "images" and "owners" share a token; each backend needs its own '
                "(also backends[0].tokens[0].file, line 6)"
            )
        ],
    ),
    # Values.
    "a number as a duration": (
        BASE + "deadline: 25\n",
        ['8: deadline: expected a duration such as "25s", got the number 25'],
    ),
    "an unknown unit": (
        BASE + "deadline: 25sec\n",
        [f'8: deadline: expected a duration such as "25s", got "25sec"; {UNITS}'],
    ),
    "a space in a duration": (
        BASE + 'deadline: "25 s"\n',
        [f'8: deadline: expected a duration such as "25s", got "25 s"; {UNITS}'],
    ),
    "a negative duration": (
        BASE + "deadline: -5s\n",
        [f'8: deadline: expected a duration such as "25s", got "-5s"; {UNITS}'],
    ),
    "no time": (BASE + "deadline: 0s\n", ["8: deadline: must be greater than zero"]),
    "a duration beyond all clocks": (BASE + f"deadline: {'9' * 400}d\n", ["8: deadline: must be at most 3650d"]),
    "nothing as a duration": (
        BASE + "deadline:\n",
        ['8: deadline: expected a duration such as "25s", got nothing'],
    ),
    "a number as a percentage": (
        BASE + "guard: {max_drop: 0.5}\n",
        [f"8: guard.max_drop: {PERCENT}, got the number 0.5"],
    ),
    "more than everything": (
        BASE + "guard: {max_drop: 150%}\n",
        [f'8: guard.max_drop: {PERCENT}, got "150%"'],
    ),
    "a misspelt word": (
        BASE + "guard: {mode: enforced}\n",
        ['8: guard.mode: expected "enforce", "observe" or "off", got "enforced"; did you mean "enforce"?'],
    ),
    "a boolean for a word": (
        BASE + "guard: {mode: false}\n",
        ['8: guard.mode: expected "enforce", "observe" or "off", got false'],
    ),
    "a release that is neither": (
        BASE + "guard: {release: 30m}\n",
        ['8: guard.release: expected "manual" or {after: DURATION}, got "30m"'],
    ),
    "a release after no time": (
        BASE + "guard: {release: {after: 0s}}\n",
        ["8: guard.release.after: must be greater than zero"],
    ),
    "a baseline that is kept for no time": (
        BASE + "guard: {keep: 0s}\n",
        ["8: guard.keep: must be greater than zero"],
    ),
    "an input that is ignored twice": (
        BASE + "guard: {ignore_inputs: [sha, sha]}\n",
        ['8: guard.ignore_inputs[1]: duplicate key "sha"'],
    ),
    "ignored inputs that are no list": (
        BASE + "guard: {ignore_inputs: sha}\n",
        ['8: guard.ignore_inputs: expected a list such as ["branch"], got "sha"'],
    ),
    "a unit of bytes": (
        BASE + "limits: {max_body_bytes: 1MB}\n",
        ['8: limits.max_body_bytes: expected a number of bytes such as 1048576, got the text "1MB"'],
    ),
    "a number with colons": (
        BASE + "limits: {max_sets: 1:30}\n",
        ['8: limits.max_sets: expected a whole number such as 100, got the text "1:30"'],
    ),
    "an octal number": (
        BASE + "limits: {max_sets: 010}\n",
        ['8: limits.max_sets: expected a whole number such as 100, got the text "010"'],
    ),
    "a limit of nothing": (BASE + "limits: {max_sets: 0}\n", ["8: limits.max_sets: must be greater than zero, got 0"]),
    "a limit beyond all memory": (
        BASE + "limits: {max_sets: 99999999999999999999}\n",
        ["8: limits.max_sets: must be at most 1000000000000000"],
    ),
    "a number of 5,000 digits": (
        BASE + f"limits: {{max_sets: {'9' * 5000}}}\n",
        ["8:20: a number with 5000 characters is too long"],
    ),
    "merge without keys": (
        BASE + ROUTE + "    combine: merge\n",
        ['12: routes[0].combine: expected "concat", "first" or {merge: {on: [KEY]}}, got "merge"'],
    ),
    "merge on nothing": (
        BASE + ROUTE + "    combine: {merge: {on: branch}}\n",
        ['12: routes[0].combine.merge.on: expected a list such as ["branch"], got "branch"'],
    ),
    "one pattern where a list is": (
        BASE.replace('["fb-*"]', '"fb-*"'),
        ['7: backends[0].application_sets: expected a list such as ["fb-*"], got "fb-*"'],
    ),
    "a section without content": (BASE + "tls:\n", ["8: tls: expected a mapping with http, grpc, admin, got nothing"]),
    # Names.
    "a route to an unknown backend": (
        BASE + ROUTE.replace("[images]", "[image]"),
        ['11: routes[0].backends[0]: no backend "image" is configured; did you mean "images"?'],
    ),
    "two routes with one name": (
        BASE + ROUTE + '  - name: previews\n    application_sets: ["pr-*"]\n    backends: [images]\n',
        ['12: routes[1].name: duplicate name "previews" (also routes[0].name, line 9)'],
    ),
    "two backends with one name": (
        BASE + "  - name: images\n    tokens: [{file: owners.token}]\n    application_sets: [own]\n",
        ['8: backends[1].name: duplicate name "images" (also backends[0].name, line 5)'],
    ),
    "a name in capitals": (
        BASE.replace("name: images", "name: Images"),
        [
            (
                '5: backends[0].name: expected a name such as "images" (a DNS-1123 label: up to 63 lower-case letters, '
                'digits and hyphens), got "Images"'
            )
        ],
    ),
    # YAML.
    "an open list": (
        BASE + "routes: [\n",
        ["9:1: not valid YAML: expected a value here; what starts on line 8 may not be closed"],
    ),
    "a list without a comma": (
        BASE + "routes: [a\nlog: {}\n",
        ['9:4: not valid YAML: expected "," or "]" in the list that starts on line 8'],
    ),
    "an open quote": (
        BASE + 'store: "memory:\n',
        ["9:1: not valid YAML: the quoted text that starts on line 8 has no closing quote"],
    ),
    "a second colon": (
        BASE + "store: sqlite: hub.db\n",
        [('8:14: not valid YAML: unexpected ":"; quote a value that contains ": ", or correct the indentation')],
    ),
    "a tab": (BASE + "log:\n\tlevel: info\n", ["9:1: a tab in the indentation; YAML is indented with spaces"]),
    "a character that needs quotes": (
        BASE + "store: @here\n",
        ['8:8: not valid YAML: a value cannot start with "@"; put it in quotes'],
    ),
    "a duplicate key": (BASE + "clients: []\n", ['8:1: duplicate key "clients"; it is also on line 1']),
    "a list": ("- a\n", [f"1:1: expected a mapping of settings, got a list; {MINIMAL}"]),
    "an empty file": ("", [f" the file is empty; {MINIMAL}"]),
    "only comments": ("# clients:\n", [f" the file is empty; {MINIMAL}"]),
    "no client": (
        "deadline: 5s\n",
        [(f" clients: at least one client is required, or nothing can call the hub; {MINIMAL} (or try --dev)")],
    ),
    "two documents": (BASE + "---\nlog: {}\n", ['8:1: more than one document: "---" starts a second one']),
    "a template": (
        BASE + "deadline: {{ .Values.deadline }}\n",
        ["8:12: a key must be text, not a mapping; quote it, or render the template if this is one ({{ … }})"],
    ),
    "a tag": (BASE + "log: !Ref x\n", ['8:6: the tag "!Ref" is not supported']),
    "a tag that does not fit": (
        BASE + "limits: {max_sets: !!int zz}\n",
        ['8:20: "zz" is not a whole number (!!int)'],
    ),
    "an alias without an anchor": (
        BASE + "log: *logs\n",
        ['8:6: the alias "*logs" has no anchor "&logs" before it'],
    ),
    "an alias of itself": (
        BASE + "routes: &routes [*routes]\n",
        ['8:18: the alias "*routes" refers to a value that contains it'],
    ),
    "twenty thousand brackets": ("[" * 20_000, ["1:65: nested deeper than 64 levels"]),
    "a billion laughs": (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{two}: &{two} [{', '.join([f'*{one}'] * 10)}]\n" for one, two in zip("abcdefg", "bcdefgh", strict=True)
        ),
        ["6:4: more than 1000000 values after aliases are expanded"],
    ),
    # Addresses.
    "a port out of range": (
        BASE + 'listen: {http: ":99999"}\n',
        [f'8: listen.http: {LISTEN}, got ":99999": a port is at most 65535'],
    ),
    "no port": (
        BASE + 'listen: {http: "localhost"}\n',
        [f'8: listen.http: {LISTEN}, got "localhost": the port is missing'],
    ),
    "only a port": (
        BASE + 'listen: {http: "4355"}\n',
        [f'8: listen.http: {LISTEN}, got "4355": did you mean ":4355"?'],
    ),
    "a number as an address": (BASE + "listen: {http: 4355}\n", [f"8: listen.http: {LISTEN}, got the number 4355"]),
    "a URL as an address": (
        BASE + 'listen: {http: "http://localhost:4355"}\n',
        [f'8: listen.http: {LISTEN}, got "http://localhost:4355": leave out the scheme'],
    ),
    "an IPv6 address without brackets": (
        BASE + 'listen: {http: "::1:4355"}\n',
        [f'8: listen.http: {LISTEN}, got "::1:4355": an IPv6 address needs brackets, such as "[::1]:4355"'],
    ),
    "one port for two": (
        BASE + 'listen: {admin: ":4355"}\n',
        ["8: listen.admin: port 4355 is already used by listen.http; each needs its own port"],
    ),
    "a backend's address without a port": (
        BASE + "  - name: owners\n    address: owners.svc\n    application_sets: [own]\n",
        ['9: backends[1].address: expected an address such as "images:50051", got "owners.svc": the port is missing'],
    ),
    "a backend's address with a scheme": (
        BASE + "  - {name: owners, address: 'http://owners:50051', application_sets: [own]}\n",
        [
            (
                '8: backends[1].address: expected an address such as "images:50051", got "http://owners:50051": leave out '
                "the scheme"
            )
        ],
    ),
    "a backend's address without a host": (
        BASE + "  - {name: owners, address: '///', application_sets: [own]}\n",
        ['8: backends[1].address: expected an address such as "images:50051", got "///": the host is missing'],
    ),
    "a backend's address with a password": (
        BASE + "  - {name: owners, address: 'http://user:secret@owners:1', application_sets: [own]}\n",
        [
            (
                '8: backends[1].address: expected an address such as "images:50051", got "http://…@owners:1": leave out '
                "the scheme"
            )
        ],
    ),
    # The store.
    "an unknown engine": (
        BASE + 'store: "mysql://hub:secret@db/hub"\n',
        ['8: store: unknown engine "mysql"; expected "memory:" or "sqlite:PATH"'],
    ),
    "a store without a colon": (
        BASE + "store: memory\n",
        ['8: store: expected "memory:" or "sqlite:PATH"; did you mean "memory:"?'],
    ),
    "a store without a path": (
        BASE + 'store: "sqlite:"\n',
        ['8: store: expected "memory:" or "sqlite:PATH"; the path is missing'],
    ),
    "a store that cannot be written": (
        BASE + "store: sqlite:/proc/hub.db\n",
        ['8: store: "/proc/hub.db" cannot be written: /proc: No such file or directory'],
    ),
    "a store in a folder that is missing": (
        BASE + "store: sqlite:/nowhere/hub.db\n",
        ['8: store: "/nowhere/hub.db" cannot be written: /nowhere: No such file or directory'],
    ),
    "the configuration as store": (
        BASE + "store: sqlite:./hub.yaml\n",
        ["8: store: this file is part of the configuration, and the store would overwrite it"],
    ),
    "a token as store": (
        BASE + "store: sqlite:argocd.token\n",
        ["8: store: this file is part of the configuration, and the store would overwrite it"],
    ),
    "a folder as store": (BASE + "store: sqlite:/tmp\n", ['8: store: "/tmp" is not a regular file']),
    # Certificates.
    "a certificate that is missing": (
        http_tls("none.pem", "hub.key"),
        ['8: tls.http.certificate: cannot read "none.pem": No such file or directory'],
    ),
    "a certificate without its key": (
        BASE + "tls: {http: {certificate: hub.pem}}\n",
        ["8: tls.http.key: is required: the path of a file"],
    ),
    "a token as certificate": (
        http_tls("argocd.token", "hub.key"),
        ['8: tls.http.certificate: "argocd.token": not a PEM certificate'],
    ),
    "a key as certificate": (
        http_tls("hub.key", "hub.key"),
        ['8: tls.http.certificate: "hub.key": this file holds a private key, not a certificate'],
    ),
    "a certificate as key": (
        http_tls("hub.pem", "hub.pem"),
        ['8: tls.http.key: "hub.pem": this file holds a certificate, not a private key'],
    ),
    "a broken certificate": (
        http_tls("broken.pem", "hub.key"),
        ['8: tls.http.certificate: "broken.pem": not a valid PEM certificate'],
    ),
    "the key of another certificate": (
        http_tls("hub.pem", "other.key"),
        ['8: tls.http.key: private key does not match the certificate ("other.key", "hub.pem")'],
    ),
    "an encrypted key": (
        http_tls("hub.pem", "encrypted.key"),
        ['8: tls.http.key: "encrypted.key": the private key is encrypted; the hub needs one without a passphrase'],
    ),
    "a key as a CA": (
        http_tls("hub.pem", "hub.key", ", client_ca: hub.key"),
        ['8: tls.http.client_ca: "hub.key": this file holds a private key, not a certificate'],
    ),
    "half a pair for calls": (
        BASE + "  - {name: owners, address: 'owners:1', application_sets: [own], call_tls: {certificate: hub.pem}}\n",
        ["8: backends[1].call_tls: certificate needs key as well"],
    ),
    "certificates without a CA": (
        BASE + "    certificates: [images.example]\n",
        ["8: backends[0].certificates: need tls.grpc.client_ca, the CA that client certificates are checked against"],
    ),
    # What cannot work.
    "a regular expression": (
        BASE + ROUTE.replace('"fb-*"', '"^fb-.*$"'),
        [
            (
                '10: routes[0].application_sets[0]: expected a glob pattern such as "fb-*", got the regular expression '
                '"^fb-.*$"; did you mean "fb-*"?'
            )
        ],
    ),
    "a key twice": (
        BASE
        + ROUTE.replace("[images]", "[images, owners]").replace("routes:", OWNERS + "routes:")
        + "    unique_by: [a, b, a]\n    required_keys: [c, c]\n    combine: {merge: {on: [d, d]}}\n    echo: [e, e]\n",
        [
            '13: routes[0].unique_by[2]: duplicate key "a"',
            '14: routes[0].required_keys[1]: duplicate key "c"',
            '15: routes[0].combine.merge.on[1]: duplicate key "d"',
            '16: routes[0].echo[1]: duplicate key "e"',
        ],
    ),
    "the commonest regular expressions": (
        BASE.replace('["fb-*"]', '[".*", "fb-.*", ".*-fb", "a|b", "fb-[a-z]+"]'),
        [
            f'7: backends[0].application_sets[{at}]: expected a glob pattern such as "fb-*", got the regular expression {rest}'
            for at, rest in enumerate(
                (
                    '".*"; did you mean "*"?',
                    '"fb-.*"; did you mean "fb-*"?',
                    '".*-fb"; did you mean "*-fb"?',
                    '"a|b"',
                    '"fb-[a-z]+"',
                )
            )
        ],
    ),
    "a backend that can do nothing": (
        BASE + "  - name: owners\n    application_sets: [own]\n",
        ['8: backends[1]: backend "owners" needs tokens or certificates to register with, or an address to connect to'],
    ),
    # Several.
    "five mistakes": (
        BASE
        + 'deadlin: 5s\nstore: "x:y"\nlisten: {http: h}\nlog: {level: loud}\n'
        + ROUTE.replace("[images]", "[image]"),
        [
            '8: deadlin: unknown key; did you mean "deadline"?',
            '9: store: unknown engine "x"; expected "memory:" or "sqlite:PATH"',
            f'10: listen.http: {LISTEN}, got "h": the port is missing',
            '11: log.level: expected "debug", "error", "info" or "warning", got "loud"',
            '15: routes[0].backends[0]: no backend "image" is configured; did you mean "images"?',
        ],
    ),
}

WARNINGS: dict[str, tuple[str, list[str]]] = {
    "a client that may request nothing": (
        BASE.replace("backends:", "  - {name: idle, tokens: [{file: owners.token}], application_sets: []}\nbackends:"),
        ["4: warning: clients[1].application_sets: is empty, so this client may request nothing"],
    ),
    "a client that may use no route": (
        BASE.replace("backends:", "  - {name: idle, tokens: [{file: owners.token}], routes: []}\nbackends:"),
        ["4: warning: clients[1].routes: is empty, so this client may request nothing"],
    ),
    "a route behind another": (
        BASE + ROUTE + "  - name: late\n    application_sets: [fb-1, 'fb-x*']\n    backends: [images]\n",
        [
            (
                '12: warning: routes[1]: no request reaches route "late" by name: all its names match earlier routes: '
                '"previews" (routes[0], line 9); move it up, or narrow those'
            )
        ],
    ),
    "a route that no client may use": (
        client('tokens: [{file: argocd.token}]\n    application_sets: ["pr-*"]') + ROUTE,
        [
            (
                '10: warning: routes[0]: no client may use route "previews": none allows both its name (routes) and its '
                "application_sets"
            )
        ],
    ),
    "a client with a route that is not there": (
        client('tokens: [{file: argocd.token}]\n    routes: ["*", preview]'),
        ['4: warning: clients[0].routes[1]: no route matches "preview"'],
    ),
    "a grant that nothing can use": (
        client('tokens: [{file: argocd.token}]\n    application_sets: ["pr-*"]'),
        ["8: warning: backends[0].application_sets: no client may request these names, so nothing uses the grant"],
    ),
    "a backend that nothing reaches": (
        BASE + "  - {name: owners, tokens: [{file: owners.token}]}\n",
        [
            (
                '8: warning: backends[1]: no request reaches backend "owners": no route names it, and it may claim no '
                "application_sets"
            )
        ],
    ),
    "a wait beyond the deadline": (
        BASE + "wait_for_absent: 40s\n",
        ["8: warning: wait_for_absent: 40s is longer than the deadline (25s), which ends the request first"],
    ),
    "a wait beyond a route's deadline": (
        BASE + ROUTE + "    deadline: 2s\n    wait_for_absent: 3s\n",
        ["13: warning: routes[0].wait_for_absent: 3s is longer than the deadline (2s), which ends the request first"],
    ),
    "a deadline beyond Argo CD's": (
        BASE + "deadline: 60s\n",
        [
            (
                "8: warning: deadline: 60s is not shorter than Argo CD's default timeout of 30 s, so Argo CD times out "
                "first; set a longer requestTimeout in the plugin's ConfigMap"
            )
        ],
    ),
    "a pattern that no name matches": (
        BASE.replace('"fb-*"', '"FB-*"'),
        [
            (
                '7: warning: backends[0].application_sets[0]: "FB-*" matches no ApplicationSet: their names have only '
                'lower-case letters, digits, "-" and "."'
            )
        ],
    ),
    "an address to register without credentials": (
        BASE + "  - {name: owners, address: 'owners:1', addresses: ['*:1'], application_sets: [own]}\n",
        [
            (
                "8: warning: backends[1].addresses: have no effect: without tokens or certificates the backend cannot "
                "register an address"
            )
        ],
    ),
    "TLS for calls that are never made": (
        BASE + "    call_tls: {}\n",
        ["8: warning: backends[0].call_tls: has no effect: without address or addresses the hub never connects to it"],
    ),
    "a client and a backend with one token": (
        BASE.replace("images.token", "copy.token"),
        [
            (
                '6: warning: backends[0].tokens[0].file: client "argocd" and backend "images" share a token; each needs '
                "its own (also clients[0].tokens[0].file, line 3)"
            )
        ],
    ),
    "an admin token that a client has": (
        BASE + "admin: {tokens: [{file: copy.token}]}\n",
        [
            (
                '8: warning: admin.tokens[0].file: client "argocd" and the admin port share a token; each needs its own '
                "(also clients[0].tokens[0].file, line 3)"
            )
        ],
    ),
    "a short token": (
        client("tokens: [{file: short.token}]"),
        [
            (
                '3: warning: clients[0].tokens[0].file: the token in "short.token" has fewer than 12 characters and is '
                "easy to guess; make one with: openssl rand -hex 32"
            )
        ],
    ),
    "a merge of one": (
        BASE + ROUTE + "    combine: {merge: {on: [branch]}}\n",
        ['12: warning: routes[0].combine: "merge" has no effect with one backend'],
    ),
    "the first of one": (
        BASE + ROUTE + "    combine: first\n",
        ['12: warning: routes[0].combine: "first" has no effect with one backend'],
    ),
    "patterns on the input of a path": (
        BASE + "routes: [{name: path, backends: [images], parameters: {env: prod}}]\n",
        [
            (
                "8: warning: routes[0].parameters: have no effect without application_sets: the route is reachable only "
                "through its path"
            )
        ],
    ),
    "a cache that is cut": (
        BASE + "cache: {fresh: 5m}\n",
        ["8: warning: cache.fresh: 5m is longer than cache.max (1m), which limits it"],
    ),
    "a guard that cannot hold": (
        BASE + "guard: {max_drop: 100%, min_sets: 30000}\n",
        [
            "8: warning: guard.max_drop: 100% is never exceeded, so the guard holds nothing; to disable the guard, set mode: off",
            "8: warning: guard.min_sets: is more than limits.max_sets (20000), so the guard holds nothing",
        ],
    ),
    "connections that end before Argo CD's": (
        BASE + "limits: {keepalive: 60s}\n",
        [
            (
                "8: warning: limits.keepalive: 60s is not longer than the 90 s for which Argo CD keeps connections; some "
                "of its requests will fail"
            )
        ],
    ),
    "a body beyond the deadline": (
        BASE + "limits: {body_timeout: 30s}\n",
        ["8: warning: limits.body_timeout: 30s is longer than the deadline (25s), which ends the request first"],
    ),
    "limits against each other": (
        BASE + "limits: {max_backend_in_flight: 9, requests_in_flight: 9, max_head_bytes: 9}\n",
        [
            "8: warning: limits.max_head_bytes: is too small for the headers of Argo CD's requests",
            (
                "8: warning: limits.max_backend_in_flight: limits.backend_in_flight (256) is more than "
                "limits.max_backend_in_flight (9), which limits it"
            ),
        ],
    ),
    "a client's limit that is never reached": (
        client("tokens: [{file: argocd.token}]\n    max_in_flight: 5000"),
        ["4: warning: clients[0].max_in_flight: is more than limits.requests_in_flight (2048), which is reached first"],
    ),
    "a route that may have all of a client": (
        BASE + "route_max_in_flight: 256\nwait_for_busy: 40s\n",
        [
            (
                '8: warning: route_max_in_flight: is not less than max_in_flight of client "argocd" (256), so one route '
                "whose backends hang blocks all requests of this client"
            ),
            "9: warning: wait_for_busy: 40s is longer than the deadline (25s), which ends the request first",
        ],
    ),
    "a route without patience": (
        BASE + ROUTE + "    wait_for_busy: 40s\n",
        ["12: warning: routes[0].wait_for_busy: 40s is longer than the deadline (25s), which ends the request first"],
    ),
    "an expired certificate": (
        http_tls("old.pem", "old.key"),
        ['8: warning: tls.http.certificate: "old.pem": the certificate expired on 2020-01-01'],
    ),
}

GOOD = {
    "globs with dots": BASE.replace('"fb-*"', '"a.*", "*.*", "[^a]*", "fb-[!a]*"'),
    "a number with underscores": BASE + "limits: {max_sets: 10_000}\n",
    "a host with an underscore": BASE
    + "  - {name: owners, address: 'images_backend:50051', application_sets: [own]}\n",
    "off without quotes": BASE + "guard: {mode: off}\n",
    "several units": BASE + "limits: {keepalive: 1m40s}\nwait_for_absent: 1s500ms\n",
    "anchors and merges": BASE.replace("  - name: images", "  - &images\n    name: images")
    + "  - {<<: *images, name: owners, tokens: [{file: owners.token}], application_sets: [own]}\n",
    "a good certificate": http_tls("hub.pem", "hub.key", ", client_ca: ca.pem"),
    "a later route for other names": BASE + ROUTE + "  - {name: rest, application_sets: ['*'], backends: [images]}\n",
    "a later route for other inputs": (
        BASE
        + "routes:\n"
        + "  - {name: prod, application_sets: ['fb-*'], parameters: {env: 'prod*'}, backends: [images]}\n"
        + "  - {name: rest, application_sets: ['fb-*'], backends: [images]}\n"
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that a case names."""
    made = tmp_path_factory.mktemp("mistakes")
    authority = Authority()
    files = {f"{name}.token": f"{name}-secret-token\n".encode() for name in ("argocd", "images", "owners")}
    files |= {"copy.token": files["argocd.token"], "empty": b"\n", "two": b"one two\n", "short.token": b"abc"}
    for name in ("hub", "other"):
        files[f"{name}.key"], files[f"{name}.pem"] = authority.pair(f"{name}.example")
    files["old.key"], files["old.pem"] = authority.pair("old.example", until=2020)
    files["ca.pem"] = authority.ca_pem
    files["broken.pem"] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    files["encrypted.key"] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    for name, content in files.items():
        (made / name).write_bytes(content)
    (made / "tokens").mkdir()
    os.mkfifo(made / "pipe")
    return made


def checked(folder: Path, text: str, *options: str, env: dict[str, str] | None = None) -> Result:
    """What the command says, run in this process."""
    (folder / "hub.yaml").write_text(text, encoding="utf-8")
    cleared = {name: None for name in os.environ if name.startswith("HUB_")}
    command = ["config", "check", "--config", str(folder / "hub.yaml"), *options]
    return CliRunner().invoke(main, command, env={**cleared, **(env or {})})


def lines(folder: Path, result: Result) -> list[str]:
    """What is wrong or doubtful. Hints are about what could be better, and every file here could be."""
    found = [line.removeprefix(f"{folder}/hub.yaml:") for line in result.stderr.splitlines()]
    return [line for line in found if ": hint: " not in line]


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_named_with_file_line_path_and_what_is_allowed(folder: Path, case: str) -> None:
    text, expected = ERRORS[case]
    result = checked(folder, text)
    assert (lines(folder, result), result.stdout) == (expected, "")
    assert result.exit_code == 2


@pytest.mark.parametrize("case", WARNINGS)
def test_what_can_hardly_be_meant_is_a_warning_with_its_place(folder: Path, case: str) -> None:
    text, expected = WARNINGS[case]
    result = checked(folder, text)
    assert lines(folder, result) == expected
    assert result.stdout.startswith(("ok: 1 client, ", "ok: 2 clients, "))
    assert (result.exit_code, checked(folder, text, "--strict").exit_code) == (0, 1)


@pytest.mark.parametrize("case", GOOD)
def test_what_is_meant_passes_without_a_word(folder: Path, case: str) -> None:
    result = checked(folder, GOOD[case], "--strict")
    assert (lines(folder, result), result.exit_code) == ([], 0)


def test_the_limit_on_the_size_of_the_file_is_named(folder: Path) -> None:
    result = checked(folder, BASE + "#" * (4 * 1024 * 1024))
    assert lines(folder, result) == [" cannot read the file: it is larger than 4 MiB"]


def test_programs_get_severity_file_line_column_path_and_reason(folder: Path) -> None:
    result = checked(folder, BASE + "deadline: 60s\nwait_for_absent: 1\na: 1\na: 2\n", "--json")
    file = str(folder / "hub.yaml")
    *errors, warning = (one for one in json.loads(result.stdout) if one["severity"] != "hint")
    assert [(one["severity"], one["file"], one["line"], one["column"], one["path"]) for one in errors] == [
        ("error", file, 9, None, "wait_for_absent"),
        ("error", file, 10, None, "a"),
        ("error", file, 11, 1, ""),
    ]
    assert errors[2]["reason"] == 'duplicate key "a"; it is also on line 10'
    assert (warning["severity"], warning["line"], warning["path"]) == ("warning", 8, "deadline")
    assert warning["reason"].startswith("60s is not shorter")
    (hint,) = json.loads(checked(folder, BASE, "--json").stdout)
    assert (hint["severity"], hint["line"], hint["path"]) == ("hint", 5, "backends[0]")
    assert checked(folder, BASE, "--strict").exit_code == 0, "a hint is no warning"


@pytest.mark.parametrize(
    ("options", "env", "line"),
    [
        ([], {"HUB_DEADLINE": "25"}, f'HUB_DEADLINE: expected a duration such as "25s", got "25"; {UNITS}'),
        ([], {"HUB_DEADLINE": "0s"}, "HUB_DEADLINE: must be greater than zero"),
        ([], {"HUB_LISTEN_HTTP": "h"}, f'HUB_LISTEN_HTTP: {LISTEN}, got "h": the port is missing'),
        ([], {"HUB_LIMITS_MAX_SETS": "many"},
         'HUB_LIMITS_MAX_SETS: expected a whole number such as 100, got the text "many"'),
        (["--deadline", "25"], {"HUB_DEADLINE": "9s"},
         f'--deadline: expected a duration such as "25s", got "25"; {UNITS}'),
        (["--http", "h"], {}, f'--http: {LISTEN}, got "h": the port is missing'),
        (["--log-level", "loud"], {},
         '--log-level: expected "debug", "error", "info" or "warning", got "loud"'),
        (["--store", "x"], {}, '--store: expected "memory:" or "sqlite:PATH"'),
    ],
)  # fmt: skip
def test_a_variable_or_a_flag_is_named_and_not_the_file(
    folder: Path, options: list[str], env: dict[str, str], line: str
) -> None:
    result = checked(folder, BASE, *options, env=env)
    assert (lines(folder, result), result.exit_code) == ([line], 2)


def test_a_variable_that_is_nearly_one_of_ours_is_a_warning(folder: Path) -> None:
    result = checked(folder, BASE, env={"HUB_DEADLIN": "5s", "HUB_SERVICE_HOST": "10.0.0.1", "HUB_PORT": "tcp://x"})
    assert lines(folder, result) == ['warning: HUB_DEADLIN: unknown variable; did you mean "HUB_DEADLINE"?']
    assert result.exit_code == 0


def test_offline_needs_no_secret_no_certificate_and_no_store(tmp_path: Path) -> None:
    text = http_tls("none.pem", "none.key", ", client_ca: none.pem") + "store: sqlite:/nowhere/hub.db\n"
    assert checked(tmp_path, text).exit_code == 2
    result = checked(tmp_path, text, "--offline", "--strict")
    assert (lines(tmp_path, result), result.stdout, result.exit_code) == ([], "ok: 1 client, 1 backend, 0 routes\n", 0)


@pytest.mark.parametrize(
    "path", [*(ROOT / "deploy" / "kustomize").glob("[bo]*/**/hub.yaml"), ROOT / "examples" / "quickstart" / "hub.yaml"]
)
def test_every_configuration_that_is_shipped_passes_without_its_secrets(path: Path) -> None:
    result = CliRunner().invoke(main, ["config", "check", "--offline", "--strict", "--config", str(path)])
    assert (lines(path.parent, result), result.exit_code) == ([], 0)


def test_offline_finds_all_that_is_in_the_file(tmp_path: Path) -> None:
    shared = "  - name: owners\n    tokens: [{file: images.token}]\n    application_sets: [own]\n"
    result = checked(tmp_path, BASE + shared + "deadline: 25\nroutes: [{name: r, backends: [image]}]\n", "--offline")
    assert lines(tmp_path, result) == [
        (
            '9: backends[1].tokens[0].file: backends "images" and "owners" share a token; each backend needs its own '
            "(also backends[0].tokens[0].file, line 6)"
        ),
        '11: deadline: expected a duration such as "25s", got the number 25',
        '12: routes[0].backends[0]: no backend "image" is configured; did you mean "images"?',
    ]
    assert result.exit_code == 2


def test_a_check_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    for name in ("argocd.token", "images.token"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert checked(tmp_path, BASE).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"hub.yaml", "argocd.token", "images.token"}


SECRET = "hunter2hunter2hunter2"
DIGITS = "12345678901234567890"
PEM = f"-----BEGIN PRIVATE KEY-----\\n{SECRET}\\n-----END PRIVATE KEY-----\\n"

SECRETS = {
    "a key in tls": http_tls("hub.pem", f'"{PEM}"'),
    "a key in call_tls": (
        BASE
        + f'  - {{name: o, address: "o:1", application_sets: [o], call_tls: {{certificate: hub.pem, key: "{PEM}"}}}}\n'
    ),
    "a key on one line": http_tls("hub.pem", SECRET * 20),
    "a certificate with its key": http_tls(f'"{PEM}"', "hub.key"),
    "a token in file": client(f"tokens: [{{file: {SECRET}}}]"),
    "a token with lines in file": client(f'tokens: [{{file: "{SECRET}\\n{SECRET}"}}]'),
    "a token in file with a folder": client(f"tokens: [{{file: ./{SECRET}/{SECRET}}}]"),
    "a number in file": client(f"tokens: [{{file: {DIGITS}}}]"),
    "a number as tokens": client(f"tokens: {DIGITS}"),
    "a number as a token": client(f"tokens: [{DIGITS}]"),
    "a key of a token": client(f"tokens: [{{{SECRET}}}]"),
    "a key of a token with a value": client(f"tokens: [{{{SECRET}: {SECRET}}}]"),
    "a duplicate key of a token": client(f"tokens: [{{{SECRET}, {SECRET}}}]"),
    "a tag of a token": client(f"tokens: [!{SECRET} a]"),
    "an alias as a token": client(f"tokens: [*{SECRET} ]"),
    "a wrong number of a token": client(f"tokens: [!!int {SECRET}]"),
    "a text as call_token": BASE + f"    address: 'o:1'\n    call_token: {SECRET}\n",
    "a number as call_token": BASE + f"    address: 'o:1'\n    call_token: {DIGITS}\n",
    "a password in an address": BASE + f"  - {{name: o, address: 'http://u:{SECRET}@h:1', application_sets: [o]}}\n",
    "a password with slashes": BASE + f"  - {{name: o, address: 'u:{SECRET}/a@h:1', application_sets: [o]}}\n",
    "a password without a user": BASE + f"  - {{name: o, address: '{SECRET}@h:1', application_sets: [o]}}\n",
    "a password in a target": BASE + f"  - {{name: o, address: 'dns:///u:{SECRET}@h:1', application_sets: [o]}}\n",
    "a password in a port": BASE + f"listen: {{http: 'http://u:{SECRET}@h:1'}}\n",
    "a text as admin": BASE + f"admin: {SECRET}\n",
    "a number as admin": BASE + f"admin: {DIGITS}\n",
    "a key of admin": BASE + f"admin: {{{SECRET}}}\n",
    "a text as clients": f"clients: {SECRET}\n",
    "a text as a client": f"clients: [{SECRET}]\n",
    "a key of a client": client(f"{SECRET}:"),
    "a text as a backend": BASE + f"  - {SECRET}\n",
    "a text as a port's TLS": BASE + f"tls: {{http: {SECRET}}}\n",
}


@pytest.mark.parametrize("case", SECRETS)
@pytest.mark.parametrize("command", [["config", "check"], ["config", "check", "--json"], ["serve"]], ids=" ".join)
def test_a_secret_in_the_wrong_setting_is_not_repeated(folder: Path, case: str, command: list[str]) -> None:
    # A second mistake, so that serve ends in any case.
    (folder / "hub.yaml").write_text(f"{SECRETS[case]}replicas: 2\n", encoding="utf-8")
    cleared = {name: None for name in os.environ if name.startswith("HUB_")}
    result = CliRunner().invoke(main, [*command, "--config", str(folder / "hub.yaml")], env=cleared)
    assert result.exit_code == 2
    assert "hub.yaml" in result.output
    assert (SECRET in result.output, DIGITS in result.output) == (False, False)


@pytest.mark.parametrize("content", [f'"{PEM}"', '"a\\nb"', "a" * 256])
def test_the_content_of_a_file_in_place_of_its_path_is_named_as_that(folder: Path, content: str) -> None:
    expected = ["8: tls.http.key: expected the path of a file, got its content"]
    assert lines(folder, checked(folder, http_tls("hub.pem", content))) == expected


def test_no_message_shows_a_secret(folder: Path) -> None:
    for text, _ in (*ERRORS.values(), *WARNINGS.values()):
        result = checked(folder, text)
        assert "secret" not in result.output.replace("secrets come only from files", "")


# The same through real processes.


@pytest.fixture
def mistaken(rig: Rig) -> Rig:
    for name in ("argocd", "images"):
        rig.token(name)
    return rig


def good(**settings: Any) -> str:
    return json.dumps({"clients": [{"name": "argocd", "tokens": [{"file": "tokens/argocd"}]}], **settings}, indent=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(good(deadlin=1), 'hub.yaml:12: deadlin: unknown key; did you mean "deadline"?', id="a key"),
        pytest.param(good(deadline="0s"), "hub.yaml:12: deadline: must be greater than zero", id="a value"),
        pytest.param("clients: [", "hub.yaml:2:1: not valid YAML: ", id="not YAML"),
    ],
)
def test_serve_ends_with_the_same_line_as_config_check(mistaken: Rig, text: str, message: str) -> None:
    mistaken.write(text)
    served = mistaken.command("serve", "--config", "hub.yaml")
    checked = mistaken.command("config", "check", "--config", "hub.yaml")
    assert (served.code, checked.code) == (2, 2), (served, checked)
    assert served.err == checked.err
    [line] = served.err.splitlines()
    assert line.startswith(message)


def test_a_file_that_is_not_there_is_named_once(mistaken: Rig) -> None:
    done = mistaken.command("config", "check", "--config", "none.yaml")
    assert (done.code, done.err) == (2, "none.yaml: cannot read the file: No such file or directory\n")


def test_a_bad_override_is_named(mistaken: Rig) -> None:
    mistaken.write(good())
    done = mistaken.command("config", "check", "--config", "hub.yaml", env={"HUB_LIMITS_MAX_SETS": "many"})
    assert done.code == 2
    [line] = done.err.splitlines()
    assert line.startswith("HUB_LIMITS_MAX_SETS: expected a whole number")


def test_flags_come_before_the_environment_and_that_before_the_file(mistaken: Rig) -> None:
    mistaken.write(good(deadline="1s", store="sqlite:file.db", wait_for_absent="4s"))
    done = mistaken.command(
        *("config", "show", "--json", "--config", "hub.yaml", "--deadline", "3s"),
        env={"HUB_DEADLINE": "2s", "HUB_STORE": "memory:"},
    )
    assert (done.json["deadline"], done.json["store"], done.json["wait_for_absent"]) == ("3s", "memory:", "4s")
    assert done.json["listen"]["http"] == ":4355"


def test_serve_logs_what_can_hardly_be_meant_at_the_start_and_after_a_reload(mistaken: Rig) -> None:
    mistaken.configure(cache={"fresh": "5m"})
    hub = mistaken.hub()
    assert "cache.fresh: 5m is longer" in hub.event("configuration_warning", level="warning")["problem"]
    mark = hub.mark()
    mistaken.configure(cache={"fresh": "6m"})
    hub.signal(signal.SIGHUP)
    assert "cache.fresh: 6m is longer" in hub.event("configuration_warning", after=mark)["problem"]


def test_a_port_that_is_taken_is_one_message(mistaken: Rig) -> None:
    mistaken.configure()
    hub = mistaken.hub()
    done = mistaken.command(
        *("serve", "--config", "hub.yaml", "--store", "memory:"), *("--http", f"127.0.0.1:{hub.http}")
    )
    assert done.code == 1, done
    taken = f"error: cannot listen on 127.0.0.1:{hub.http}: port {hub.http} is already in use (--http)"
    assert done.err.splitlines()[-1] == taken
