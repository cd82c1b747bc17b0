"""TLS on both ports, with certificates made for the test."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.support.processes import until
from tests.e2e.support.rig import port_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.support.rig import Hub, Rig


class Authority:
    """A certificate authority, and the files of what it signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))
        self.context = ssl.create_default_context(cafile=str(self.file))

    def issue(self, name: str, *hosts: str) -> dict[str, str]:
        """Write a certificate and its key, at once as Kubernetes does; returns how the configuration names them."""
        issued = self._ca.issue_cert(*hosts)
        for file, blobs in {"pem": issued.cert_chain_pems, "key": [issued.private_key_pem]}.items():
            fresh = self._folder / f"{name}.{file}.new"
            fresh.write_bytes(b"".join(blob.bytes() for blob in blobs))
            fresh.replace(self._folder / f"{name}.{file}")
        return {"certificate": f"{name}.pem", "key": f"{name}.key"}


@pytest.fixture
def authority(rig: Rig) -> Authority:
    return Authority(rig.folder)


def https(rig: Rig, authority: Authority, **settings: Any) -> Hub:
    """A hub whose port for Argo CD has a certificate for ``localhost``."""
    rig.configure(tls={"http": authority.issue("http", "localhost")}, **settings)
    hub = rig.hub()
    hub.tls = authority.context
    return hub


def served_certificate(hub: Hub, authority: Authority) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", hub.http), timeout=10) as raw,
        authority.context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        certificate = secure.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def test_argo_cd_is_served_over_https(rig: Rig, authority: Authority) -> None:
    hub = https(rig, authority, backends=[rig.backend("images", application_sets=["fb-*"])])
    rig.sdk("images", hub, "--application-sets", "fb-*")
    hub.joined("images")
    assert hub.ask("fb-1").sets == [{"from": "images"}]
    done = rig.command(
        *("call", "fb-1", "--json", "--url", f"https://localhost:{hub.http}", "--token-file", "tokens/argocd"),
        *("--ca-file", authority.file),
    )
    assert done.json == [{"from": "images"}], done
    hub.tls = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        hub.ask("fb-1")


def test_a_certificate_that_is_rotated_on_disk_is_served_without_a_restart(rig: Rig, authority: Authority) -> None:
    hub = https(rig, authority)
    before = served_certificate(hub, authority)
    kept = hub.connect()
    kept.ask("nobody", token="argocd-token").refuses(404, "nobody_serves")
    authority.issue("http", "localhost")
    until(lambda: served_certificate(hub, authority) != before, "the new certificate is served")
    kept.ask("nobody", token="argocd-token").refuses(404, "nobody_serves")
    kept.close()


@pytest.fixture
def mutual(rig: Rig, authority: Authority) -> Hub:
    """A hub whose backends need a certificate; ``images`` proves itself by nothing else, ``owners`` by a token too."""
    rig.configure(
        tls={"grpc": {**authority.issue("grpc", "localhost"), "client_ca": "ca.pem"}},
        backends=[
            {"name": "images", "certificates": ["images.example"], "application_sets": ["fb-*"]},
            rig.backend("owners", certificates=["owners.example"], application_sets=["own-*"]),
        ],
    )
    return rig.hub()


def with_certificate(rig: Rig, authority: Authority, hub: Hub, host: str) -> list[object]:
    files = authority.issue(host, host)
    return [
        *("--hub", f"localhost:{hub.grpc}", "--ca-file", authority.file),
        *("--cert-file", rig.folder / files["certificate"], "--key-file", rig.folder / files["key"]),
    ]


def test_a_backend_proves_itself_by_its_certificate(rig: Rig, authority: Authority, mutual: Hub) -> None:
    rig.sdk("images", None, "--application-sets", "fb-*", *with_certificate(rig, authority, mutual, "images.example"))
    mutual.joined("images")
    assert mutual.ask("fb-1").sets == [{"from": "images"}]


def test_where_both_are_asked_a_certificate_alone_is_not_enough(rig: Rig, authority: Authority, mutual: Hub) -> None:
    options = with_certificate(rig, authority, mutual, "owners.example")
    rig.sdk("owners", None, *options)
    mutual.event("registration_refused", backend="owners", code="UNAUTHENTICATED")
    rig.sdk("owners", None, *options, "--token-file", rig.folder / "tokens" / "owners")
    mutual.joined("owners")


def test_the_certificate_of_another_backend_is_refused(rig: Rig, authority: Authority, mutual: Hub) -> None:
    backend = rig.sdk("images", None, *with_certificate(rig, authority, mutual, "owners.example"))
    backend.says("not attached to the hub")
    mutual.event("registration_refused", backend="images")
    assert mutual.events("instance_joined") == []


def test_without_a_certificate_nobody_gets_in(rig: Rig, authority: Authority, mutual: Hub) -> None:
    backend = rig.sdk("owners", None, "--hub", f"localhost:{mutual.grpc}", "--ca-file", authority.file)
    assert "UNAVAILABLE" in backend.says("not attached to the hub")
    assert mutual.events("instance_joined") == []


def test_a_rotated_certificate_of_the_grpc_port_is_served(rig: Rig, authority: Authority) -> None:
    rig.configure(tls={"grpc": authority.issue("grpc", "before.example")})
    hub = rig.hub()
    assert is_served(hub, authority, "before.example")
    authority.issue("grpc", "after.example")
    until(lambda: is_served(hub, authority, "after.example"), "the new certificate is served")
    assert not is_served(hub, authority, "before.example")


def is_served(hub: Hub, authority: Authority, name: str) -> bool:
    """Whether the gRPC port shows a certificate with this name to a new connection."""
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
    options = [("grpc.ssl_target_name_override", name), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(f"localhost:{hub.grpc}", credentials, options=options) as channel:
        try:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return False
        return True


def test_a_dialled_backend_is_called_over_tls_with_a_token(rig: Rig, authority: Authority) -> None:
    files = authority.issue("images", "images.example")
    backend = rig.sdk(
        *("images", None, "--listen", "127.0.0.1:0"),
        *("--cert-file", rig.folder / files["certificate"], "--key-file", rig.folder / files["key"]),
    )
    rig.configure(
        backends=[
            {
                "name": "images",
                "address": f"127.0.0.1:{port_of(backend)}",
                "application_sets": ["fb-*"],
                "call_tls": {"ca": "ca.pem", "server_name": "images.example"},
                "call_token": rig.token("call"),
            }
        ]
    )
    hub = rig.hub()
    hub.joined("images")
    assert hub.ask("fb-1").sets == [{"from": "images"}]
