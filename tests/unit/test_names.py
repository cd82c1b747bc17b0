"""Which addresses have a name to be followed."""

from __future__ import annotations

import pytest

from hub.core.names import endpoint, host_name


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("images:50051", "images"),
        ("images.plugins.svc.:50051", "images.plugins.svc."),
        ("_compose_service:50051", "_compose_service"),
        ("localhost:50051", "localhost"),
        ("dns:images:50051", "images"),
        ("dns:///images.plugins.svc:50051", "images.plugins.svc"),
    ],
)
def test_a_name_is_followed(address: str, host: str) -> None:
    name = host_name(address)
    assert name is not None
    assert (name.host, name.port, str(name)) == (host, 50051, f"{host}:50051")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:50051",
        "[::1]:50051",
        "dns:///10.0.0.1:50051",
        "dns://10.96.0.10/images:50051",
        "ipv4:10.0.0.1:50051,10.0.0.2:50051",
        "unix:/run/images.sock",
        "unix:50051",
        "UNIX:50051",
        "unix-abstract:50051",
        "xds:///images:50051",
        "images",
        "dns:///images",
        "dns:50051",
        "images:50051\n",
        "images:https",
        "",
    ],
)
def test_everything_else_is_dialled_as_it_is(address: str) -> None:
    assert host_name(address) is None


def test_an_endpoint_has_brackets_where_it_needs_them() -> None:
    assert (endpoint("10.0.0.1", 1), endpoint("fd00::1", 1)) == ("10.0.0.1:1", "[fd00::1]:1")
