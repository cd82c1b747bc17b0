"""TLS on both ports, with certificates made for the test."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import socket
import ssl
from contextlib import closing
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.support.authority import Authority
from tests.e2e.support.calls import Connection
from tests.e2e.support.processes import until
from tests.e2e.support.rig import free_port, port_of

if TYPE_CHECKING:
    from tests.e2e.support.rig import Hub, Rig


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


EXPIRED = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def reloads(rig: Rig, hub: Hub, **settings: Any) -> dict[str, Any]:
    """Change the configuration; returns the event that says what became of it."""
    mark = hub.mark()
    rig.configure(**settings)
    return hub.event("configuration_reloaded", after=mark)


def shown_by(authority: Authority, server: Authority, rig: Rig) -> ssl.SSLContext:
    """A client that trusts ``server``, with a certificate of ``authority``."""
    files = authority.issue("argocd", "argocd.example")
    context = ssl.create_default_context(cafile=str(server.file))
    context.load_cert_chain(rig.folder / files["certificate"], rig.folder / files["key"])
    return context


def is_let_in(hub: Hub, tls: ssl.SSLContext | None) -> bool:
    """Whether a new connection gets an answer."""
    hub.tls = tls
    try:
        return hub.ask("nobody").status == 404
    except (OSError, http.client.HTTPException):
        return False


def test_the_client_ca_of_the_http_port_is_added_replaced_and_removed_by_a_reload(
    rig: Rig, authority: Authority
) -> None:
    hub = https(rig, authority)
    old, new = Authority(rig.folder, "old.pem"), Authority(rig.folder, "new.pem")
    certificate = authority.issue("http", "localhost")
    by_old, by_new, by_none = shown_by(old, authority, rig), shown_by(new, authority, rig), authority.context
    assert reloads(rig, hub, tls={"http": {**certificate, "client_ca": "old.pem"}}).get("needs_restart", []) == []
    assert [is_let_in(hub, tls) for tls in (by_old, by_new, by_none)] == [True, False, False]
    assert "needs_restart" not in reloads(rig, hub, tls={"http": {**certificate, "client_ca": "new.pem"}})
    assert [is_let_in(hub, tls) for tls in (by_old, by_new, by_none)] == [False, True, False]
    assert "needs_restart" not in reloads(rig, hub, tls={"http": certificate})
    assert is_let_in(hub, by_none)
    assert hub.get("/readyz").json["needs_restart"] == []


def test_a_client_of_a_removed_ca_is_sent_away_with_its_next_answer_and_cannot_resume_its_session(
    rig: Rig, authority: Authority
) -> None:
    hub = https(rig, authority)
    Authority(rig.folder, "new.pem")
    old = Authority(rig.folder, "old.pem")
    certificate = authority.issue("http", "localhost")
    by_old = shown_by(old, authority, rig)
    reloads(rig, hub, tls={"http": {**certificate, "client_ca": "old.pem"}})
    with (
        socket.create_connection(("127.0.0.1", hub.http)) as raw,
        by_old.wrap_socket(raw, server_hostname="localhost") as first,
    ):
        first.sendall(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
        assert first.recv(4096).startswith(b"HTTP/1.1 404")
        session = first.session
    assert resumes(hub, by_old, session)
    hub.tls = by_old
    kept = hub.connect()
    assert kept.ask("nobody", token="argocd-token").headers.get("connection") != "close"
    reloads(rig, hub, tls={"http": {**certificate, "client_ca": "new.pem"}})
    assert kept.ask("nobody", token="argocd-token").headers["connection"].lower() == "close"
    assert not resumes(hub, by_old, session)


def resumes(hub: Hub, tls: ssl.SSLContext, session: ssl.SSLSession | None) -> bool:
    """Whether a client gets an answer on a new connection that resumes its session."""
    try:
        with (
            socket.create_connection(("127.0.0.1", hub.http)) as raw,
            tls.wrap_socket(raw, server_hostname="localhost", session=session) as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
            return bool(secure.recv(4096))
    except OSError:
        return False


def test_tls_of_the_http_port_is_switched_on_and_off_by_a_reload(rig: Rig, authority: Authority) -> None:
    rig.configure()
    hub = rig.hub()
    plain = Connection(hub.http)
    plain.ask("nobody", token="argocd-token").refuses(404, "nobody_serves")
    certificate = authority.issue("http", "localhost")
    assert "needs_restart" not in reloads(rig, hub, tls={"http": certificate})
    assert plain.ask("nobody", token="argocd-token").headers["connection"].lower() == "close"
    assert [is_let_in(hub, tls) for tls in (authority.context, None)] == [True, False]
    assert (hub.metric("appset_hub_certificate_expiry_timestamp_seconds", setting="tls.http.certificate") or 0) > 1e9
    assert "needs_restart" not in reloads(rig, hub)
    assert [is_let_in(hub, tls) for tls in (authority.context, None)] == [False, True]
    assert hub.metric("appset_hub_certificate_expiry_timestamp_seconds", setting="tls.http.certificate") is None


@pytest.mark.parametrize("port", ["http", "grpc", "admin"])
def test_a_reload_that_brings_an_expired_certificate_is_refused(rig: Rig, authority: Authority, port: str) -> None:
    rig.configure(tls={port: authority.issue("server", "localhost")})
    hub = rig.hub()
    hub.admin_tls = authority.context if port == "admin" else None
    expires_s = hub.metric("appset_hub_certificate_expiry_timestamp_seconds", setting=f"tls.{port}.certificate")
    authority.issue("server", "localhost", until=EXPIRED)
    kept = hub.event("configuration_kept")
    assert f"tls.{port}.certificate" in kept["problem"]
    assert "expired on 2020-01-01" in kept["problem"]
    assert hub.metric("appset_hub_certificate_expiry_timestamp_seconds", setting=f"tls.{port}.certificate") == expires_s
    if port == "http":
        assert is_let_in(hub, authority.context)
    elif port == "grpc":
        assert is_served(hub, authority, "localhost")


def test_a_hub_that_starts_with_an_expired_certificate_says_so_and_still_takes_other_changes(
    rig: Rig, authority: Authority
) -> None:
    certificate = authority.issue("http", "localhost", until=EXPIRED)
    rig.configure(tls={"http": certificate})
    hub = rig.hub()
    assert "expired on 2020-01-01" in hub.event("configuration_warning")["problem"]
    assert (
        hub.metric("appset_hub_certificate_expiry_timestamp_seconds", setting="tls.http.certificate")
        == EXPIRED.timestamp()
    )
    reloads(rig, hub, tls={"http": certificate}, deadline="7s")


def test_a_backend_of_a_replaced_client_ca_cannot_connect_any_more(rig: Rig, authority: Authority) -> None:
    old, new = Authority(rig.folder, "old.pem"), Authority(rig.folder, "new.pem")
    settings = {"backends": [{"name": "images", "certificates": ["images.example"], "application_sets": ["fb-*"]}]}
    certificate = authority.issue("grpc", "localhost")
    rig.configure(tls={"grpc": {**certificate, "client_ca": "old.pem"}}, **settings)
    hub = rig.hub()
    assert reaches(hub, authority, old)
    assert "needs_restart" not in reloads(rig, hub, tls={"grpc": {**certificate, "client_ca": "new.pem"}}, **settings)
    assert not reaches(hub, authority, old)
    assert reaches(hub, authority, new)


def reaches(hub: Hub, server: Authority, client: Authority) -> bool:
    """Whether the gRPC port takes a new connection with a certificate of ``client``."""
    files = client.issue("client", "images.example")
    key, chain = (client.file.with_name(files[kind]).read_bytes() for kind in ("key", "certificate"))
    credentials = grpc.ssl_channel_credentials(server.file.read_bytes(), key, chain)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(f"localhost:{hub.grpc}", credentials, options=options) as channel:
        try:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return False
        return True


def admin_answers(hub: Hub, tls: ssl.SSLContext | None) -> bool:
    """Whether a new connection to the admin port gets an answer."""
    hub.admin_tls = tls
    try:
        return hub.get("/livez").status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_tls_of_the_admin_port_is_switched_on_and_off_by_a_reload(rig: Rig, authority: Authority) -> None:
    rig.configure()
    hub = rig.hub()
    certificate = authority.issue("admin", "localhost")
    assert "needs_restart" not in reloads(rig, hub, tls={"admin": certificate})
    assert [admin_answers(hub, tls) for tls in (authority.context, None)] == [True, False]
    assert "needs_restart" not in reloads(rig, hub)
    assert [admin_answers(hub, tls) for tls in (authority.context, None)] == [False, True]


def test_the_client_ca_of_the_admin_port_counts_at_once_and_ends_connections_of_before(
    rig: Rig, authority: Authority
) -> None:
    ca = Authority(rig.folder, "operators.pem")
    certificate = authority.issue("admin", "localhost")
    rig.configure(tls={"admin": certificate})
    hub = rig.hub()
    with closing(Connection(hub.admin, tls=authority.context)) as kept:
        assert kept.send("GET", "/livez").status == 200
        reloads(rig, hub, tls={"admin": {**certificate, "client_ca": "operators.pem"}})
        with pytest.raises((OSError, http.client.HTTPException)):
            # The connection is closed; a client that connects again has no certificate.
            kept.send("GET", "/livez")
    assert [admin_answers(hub, tls) for tls in (shown_by(ca, authority, rig), authority.context)] == [True, False]


def test_commands_find_the_admin_port_over_tls(rig: Rig, authority: Authority) -> None:
    listen = {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0", "admin": f"127.0.0.1:{free_port()}"}
    # A certificate for the name that others use; the configuration says that the hub here has it.
    rig.configure(listen=listen, tls={"admin": authority.issue("admin", "hub.example")})
    hub = rig.hub()
    assert rig.command("backends", "list", "--json").code == 0
    url = f"https://localhost:{hub.admin}"
    refused = rig.command("backends", "list", "--admin", url)
    assert refused.code == 3
    assert "its certificate is not trusted" in refused.err
    assert "name its CA with --admin-ca-file" in refused.err
    refused = rig.command("backends", "list", "--admin", url, "--admin-ca-file", authority.file)
    assert refused.code == 3
    assert "its certificate is for other names than this host" in refused.err
    mark = hub.mark()
    authority.issue("admin", "localhost")
    hub.event("certificate_in_force", after=mark, setting="tls.admin.certificate")
    assert rig.command("backends", "list", "--admin", url, "--admin-ca-file", authority.file).code == 0
    assert rig.command("backends", "list", "--admin", url, env={"HUB_ADMIN_CA_FILE": str(authority.file)}).code == 0
    # A configuration that names another certificate is that of another hub.
    other = Authority(rig.folder, "other.pem").issue("stranger", "localhost")
    (rig.folder / "other.yaml").write_text(json.dumps({"listen": listen, "tls": {"admin": other}}))
    refused = rig.command("backends", "list", "--config", rig.folder / "other.yaml")
    assert refused.code == 3
    assert "its certificate is another one than the configuration names" in refused.err


def test_every_certificate_that_the_configuration_names_has_its_expiry_as_a_metric(
    rig: Rig, authority: Authority
) -> None:
    rig.token("images")
    soon = dt.datetime(2033, 5, 18, 3, 33, 20, tzinfo=dt.UTC)
    call_tls = {**authority.issue("caller", "hub.example", until=soon), "ca": "ca.pem"}
    rig.configure(
        tls={"grpc": {**authority.issue("grpc", "localhost"), "client_ca": "ca.pem"}},
        backends=[{"name": "images", "address": f"127.0.0.1:{free_port()}", "call_tls": call_tls}],
    )
    hub = rig.hub()
    found = {
        sample.labels["setting"]: sample.value
        for family in hub.metrics()
        for sample in family.samples
        if sample.name == "appset_hub_certificate_expiry_timestamp_seconds"
    }
    assert found.keys() == {
        "tls.grpc.certificate",
        "tls.grpc.client_ca",
        "backends.images.call_tls.certificate",
        "backends.images.call_tls.ca",
    }
    assert found["backends.images.call_tls.certificate"] == soon.timestamp() == 2_000_000_000
