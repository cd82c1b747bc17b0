"""The objects by which Argo CD finds the hub: a ConfigMap with the address, and a Secret's key with the token.

Pure. Only objects that belong to the hub are made here. ``kubectl apply`` removes what an earlier apply wrote and the
new manifest lacks. So does ``--server-side``, under any field manager: kubectl first takes over the fields of the
earlier apply. A Secret of someone else therefore only ever gets a merge patch of one key.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec

from hub.cli.urls import hub_url

DEFAULT_BASE_URL = "http://appset-hub.appset-hub.svc.cluster.local:4355"
OWN_SECRET = "appset-hub-plugin"  # noqa: S105 - the name of a Secret.
ARGO_CD_SECRET = "argocd-secret"  # noqa: S105 - the name of Argo CD's own Secret.

TAKEN_CONFIG_MAPS = frozenset(
    {"appset-hub-config", "appset-hub-http-plugin", "appset-hub-oci", "appset-hub-static"},
)
"""What deploy/kustomize calls its ConfigMaps. As a sidecar the hub has them in Argo CD's namespace."""

# Argo CD reads a token only from Secrets with this label.
_LABELS = {"app.kubernetes.io/part-of": "argocd"}

_SECRET_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One client, and one route or all of them.

    ``client`` and ``route`` are empty unless they were named; ``secret`` is empty for the hub's own.

    Raises:
        ValueError: such a connection must not be made; the text says why, and what to do.
    """

    namespace: str
    base_url: str
    request_timeout_s: int
    client: str = ""
    route: str = ""
    secret: str = ""

    def __post_init__(self) -> None:
        """Refuse what would not work, or would overwrite something."""
        _check_url(self.base_url)
        if self.secret and not _SECRET_NAME.fullmatch(self.secret):
            raise ValueError(f'--secret: "{self.secret}" cannot be the name of a Secret')
        if self.config_map_name in TAKEN_CONFIG_MAPS:
            raise ValueError(
                f'the ConfigMap for route "{self.route}" would be "{self.config_map_name}", which is part of a sidecar '
                "deployment of the hub; rename the route, or add --client"
            )

    @property
    def config_map_name(self) -> str:
        """A name for each client and route; neither of them has a dot."""
        name = f"appset-hub-{self.route}" if self.route else "appset-hub"
        return f"{name}.{self.client}" if self.client else name

    @property
    def secret_name(self) -> str:
        """The Secret with the token."""
        return self.secret or self._own_secret

    @property
    def _own_secret(self) -> str:
        return f"{OWN_SECRET}.{self.client}" if self.client else OWN_SECRET

    @property
    def owns_secret(self) -> bool:
        """Whether the Secret is the hub's, with nothing in it but the token."""
        return self.secret_name == self._own_secret

    @property
    def _key(self) -> str:
        if self.owns_secret:
            return "token"
        return f"plugin.appset-hub.{self.client}.token" if self.client else "plugin.appset-hub.token"

    @property
    def _reference(self) -> str:
        return f"${self._key}" if self.secret_name == ARGO_CD_SECRET else f"${self.secret_name}:{self._key}"

    def config_map(self) -> dict[str, Any]:
        """The ConfigMap that an ApplicationSet's ``configMapRef`` names."""
        data = {
            "token": self._reference,
            "baseUrl": self.base_url.rstrip("/") + (f"/{self.route}" if self.route else ""),
            "requestTimeout": str(self.request_timeout_s),
        }
        metadata = {"name": self.config_map_name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    def own_secret(self, token: str) -> dict[str, Any]:
        """The hub's own Secret, as a manifest."""
        metadata = {"name": self._own_secret, "namespace": self.namespace, "labels": _LABELS}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", **self.patch(token)}

    def patch(self, token: str) -> dict[str, Any]:
        """A merge patch that sets the token's key. It has no ``kind``: ``kubectl apply`` refuses it."""
        return {"data": {self._key: base64.b64encode(token.encode()).decode()}}


def _check_url(text: str) -> None:
    try:
        host = hub_url(text, DEFAULT_BASE_URL).hostname or ""
    except ValueError as error:
        raise ValueError(f"--base-url: {error}") from error
    if host.endswith("."):
        raise ValueError(
            f'--base-url: the host "{host}" ends with a dot, so NO_PROXY and service meshes do not match it, and the '
            "token can reach a proxy; remove the dot"
        )
