"""What a backend may register as its address, in more than a hundred spellings."""

from __future__ import annotations

import pytest

from hub.core.addresses import AddressFault, admits, admits_behind, parse

ANY = ("*:50051",)

GOOD = {
    "images.plugins.svc:50051": "images.plugins.svc:50051",
    "Images.Plugins.SVC:50051": "images.plugins.svc:50051",
    "images.plugins.svc.:50051": "images.plugins.svc.:50051",
    "images:50051": "images:50051",
    "my_service:50051": "my_service:50051",
    "_grpc._tcp.images:50051": "_grpc._tcp.images:50051",
    "a-b.c-d:50051": "a-b.c-d:50051",
    "1and1.com:50051": "1and1.com:50051",
    "10.0.0.1.nip.io:50051": "10.0.0.1.nip.io:50051",
    "xn--bcher-kva.example:50051": "xn--bcher-kva.example:50051",
    "dns:images:50051": "images:50051",
    "dns:///images.svc:50051": "images.svc:50051",
    "10.0.0.1:50051": "10.0.0.1:50051",
    "dns:///10.0.0.1:50051": "10.0.0.1:50051",
    "192.168.7.9:50051": "192.168.7.9:50051",
    "172.16.0.1:50051": "172.16.0.1:50051",
    "100.64.0.1:50051": "100.64.0.1:50051",
    "8.8.8.8:50051": "8.8.8.8:50051",
    "[2001:db8::1]:50051": "[2001:db8::1]:50051",
    "[2001:DB8:0:0:0:0:0:1]:50051": "[2001:db8::1]:50051",
    "[fd00::1]:50051": "[fd00::1]:50051",
    "dns:///[fd00::1]:50051": "[fd00::1]:50051",
}

NO_ADDRESS = [
    "",
    ":",
    ":50051",
    "images",
    "images:",
    "images:0",
    "images:00",
    "images:050051",
    "images:65536",
    "images:500510",
    "images:-1",
    "images:+50051",
    "images: 50051",
    "images:50051 ",
    " images:50051",
    "images:50051\n",
    "images\n:50051",
    "images\x00:50051",
    "images\x00.svc:50051",
    "images\t:50051",
    "images\r\n:50051",
    "images:5005\u0661",
    "im\u0430ges:50051",
    "bücher:50051",
    "127。0。0。1:50051",
    "①②⑦.0.0.1:50051",
    "images:50051/path",
    "images/path:50051",
    "user@images:50051",
    "user:password@images:50051",
    "images?x:50051",
    "images#x:50051",
    "images%2e:50051",
    "%31%32%37.0.0.1:50051",
    "images,other:50051",
    "images;other:50051",
    "images*:50051",
    "-images:50051",
    "images-:50051",
    "images..svc:50051",
    ".images:50051",
    "a" * 64 + ":50051",
    "a." * 130 + "a:50051",
    "a" * 301 + ":50051",
    "unix:/run/x.sock",
    "unix:///run/x.sock",
    "unix:50051",
    "UNIX:50051",
    "unix:x:50051",
    "unix:/run/x:50051",
    "unix-abstract:x:50051",
    "unix-abstract:50051",
    "vsock:2:50051",
    "vsock:50051",
    "ipv4:10.0.0.1:50051",
    "ipv4:127.0.0.1:50051,10.0.0.1:50051",
    "ipv4:///127.0.0.1:50051",
    "ipv4:50051",
    "ipv6:[::1]:50051",
    "ipv6:%5B::1%5D:50051",
    "xds:images:50051",
    "xds:///images:50051",
    "google-c2p:///images:50051",
    "passthrough:///127.0.0.1:50051",
    "passthrough:127.0.0.1:50051",
    "passthrough:50051",
    "dns://8.8.8.8/images:50051",
    "dns://evil.example/images:50051",
    "dns://evil.example:53/images:50051",
    "dns:/images:50051",
    "dns://images:50051",
    "dns:////images:50051",
    "dns:50051",
    "dns:unix:50051",
    "dns:dns:images:50051",
    "dns:///dns:///images:50051",
    "DNS:///images:50051",
    "http://images:50051",
    "https://images:50051",
    "grpc://images:50051",
    "file:///etc/passwd:50051",
    "::1:50051",
    "fd00::1:50051",
    "[::1:50051",
    "::1]:50051",
    "[]:50051",
    "[::1]50051",
    "[::1]",
    "[localhost]:50051",
    "[127.0.0.1]:50051",
    "[fe80::1%eth0]:50051",
    "[fe80::1%25eth0]:50051",
    "[::1%1]:50051",
    "[v1.x]:50051",
    "2130706433:50051",
    "0x7f000001:50051",
    "0x7f.1:50051",
    "0x7f.0x0.0x0.0x1:50051",
    "017700000001:50051",
    "0177.0.0.1:50051",
    "127.1:50051",
    "127.0.1:50051",
    "127.0.0.1.:50051",
    "127.0.0.01:50051",
    "127.0.0.0x1:50051",
    "10.1:50051",
    "0:50051",
    "256.0.0.1:50051",
    "1.2.3.4.5:50051",
    "images.0x:50051",
    "images.1:50051",
]

DELICATE = {
    "localhost:50051": "a loopback name",
    "LOCALHOST:50051": "a loopback name",
    "localhost.:50051": "a loopback name",
    "dns:///localhost:50051": "a loopback name",
    "x.localhost:50051": "a loopback name",
    "localhost.localdomain:50051": "a loopback name",
    "ip6-localhost:50051": "a loopback name",
    "metadata.google.internal:50051": "the name of a cloud's metadata service",
    "metadata.google.internal.:50051": "the name of a cloud's metadata service",
    "metadata:50051": "the name of a cloud's metadata service",
    "127.0.0.1:50051": "a loopback address",
    "127.8.9.1:50051": "a loopback address",
    "dns:127.0.0.1:50051": "a loopback address",
    "[::1]:50051": "a loopback address",
    "[0:0:0:0:0:0:0:1]:50051": "a loopback address",
    "[::]:50051": "an address of no single host",
    "0.0.0.0:50051": "an address of no single host",
    "0.1.2.3:50051": "an address of no single host",
    "255.255.255.255:50051": "an address of no single host",
    "240.0.0.1:50051": "an address of no single host",
    "169.254.169.254:50051": "a link-local address",
    "169.254.1.1:50051": "a link-local address",
    "[fe80::1]:50051": "a link-local address",
    "224.0.0.1:50051": "a multicast address",
    "[ff02::1]:50051": "a multicast address",
    "100.100.100.200:50051": "the address of a cloud's metadata service",
    "168.63.129.16:50051": "the address of a cloud's metadata service",
    "192.0.0.192:50051": "the address of a cloud's metadata service",
    "[fd00:ec2::254]:50051": "the address of a cloud's metadata service",
    "[::ffff:127.0.0.1]:50051": "an IPv4 address inside an IPv6 address",
    "[::ffff:10.0.0.1]:50051": "an IPv4 address inside an IPv6 address",
    "[::ffff:7f00:1]:50051": "an IPv4 address inside an IPv6 address",
    "[::ffff:0:127.0.0.1]:50051": "an IPv4 address inside an IPv6 address",
    "[::127.0.0.1]:50051": "an IPv4 address inside an IPv6 address",
    "[::10.0.0.1]:50051": "an IPv4 address inside an IPv6 address",
    "[64:ff9b::127.0.0.1]:50051": "an IPv4 address inside an IPv6 address",
    "[64:ff9b::a9fe:a9fe]:50051": "an IPv4 address inside an IPv6 address",
    "[64:ff9b:1::7f00:1]:50051": "an IPv4 address inside an IPv6 address",
    "[2002:7f00:1::1]:50051": "an IPv4 address inside an IPv6 address",
    "[2002:a9fe:a9fe::]:50051": "an IPv4 address inside an IPv6 address",
    "[2001:0:7f00:1::1]:50051": "an IPv4 address inside an IPv6 address",
}


@pytest.mark.parametrize(("address", "target"), GOOD.items(), ids=list(GOOD))
def test_a_host_and_a_port_are_admitted_by_a_wildcard(address: str, target: str) -> None:
    found = parse(address)
    assert str(found) == target
    assert admits(ANY, found)
    assert admits(("*",), found)
    assert not admits(("*:50052", "*.other:50051"), found)


@pytest.mark.parametrize("address", NO_ADDRESS, ids=ascii)
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(AddressFault):
        parse(address)


@pytest.mark.parametrize(("address", "what"), DELICATE.items(), ids=list(DELICATE))
def test_the_hubs_own_machine_and_network_have_to_be_named(address: str, what: str) -> None:
    found = parse(address)
    assert found.delicate == what
    assert not admits(("*", "*:50051", "*:*", "?*:50051", "[0-9a-z]*:50051"), found)
    assert admits((f"{found}",), found)
    assert admits((f"{str(found).rpartition(':')[0]}:*",), found)


@pytest.mark.parametrize(
    ("pattern", "address", "admitted"),
    [
        ("127.0.0.1:*", "127.0.0.1:7", True),
        ("127.*:50051", "127.9.9.9:50051", True),
        ("127.*:50051", "127.9.9.9:50052", False),
        ("127.*:50051", "127.example.test:50051", True),
        ("169.254.*:50051", "169.254.0.9:50051", True),
        ("12*:50051", "127.0.0.1:50051", False),
        ("[::1]:*", "[::1]:50051", True),
        ("[0:0::1]:50051", "[::1]:50051", True),
        ("[fe80::1]:50051", "[fe80::2]:50051", False),
        ("*.localhost:50051", "x.localhost:50051", False),
        ("*.PLUGINS.svc:50051", "images.plugins.SVC:50051", True),
        ("images.plugins.svc:50051", "images.plugins.svc.:50051", True),
        ("10.0.*:50051", "10.0.3.4:50051", True),
        ("10.0.*:50051", "10.0.evil.example:50051", True),
        ("image[st]:50051", "images:50051", True),
        ("image[st]:50051", "imaget:50051", True),
        ("image[st]:50051", "imagex:50051", False),
        ("images*", "images.svc:50051", True),
    ],
)
def test_a_pattern_compares_host_and_port(pattern: str, address: str, *, admitted: bool) -> None:
    assert admits((pattern,), parse(address)) is admitted


@pytest.mark.parametrize(
    ("patterns", "name", "endpoint", "admitted"),
    [
        (("*.svc:*",), "images.svc:50051", "10.0.0.1:50051", True),
        (("*.svc:*",), "images.svc:50051", "[fd00::1]:50051", True),
        (("*.svc:*",), "images.svc:50051", "127.0.0.1:50051", False),
        (("*.svc:*",), "images.svc:50051", "[::1]:50051", False),
        (("*.svc:*",), "images.svc:50051", "[::ffff:127.0.0.1]:50051", False),
        (("*.svc:*",), "images.svc:50051", "169.254.169.254:50051", False),
        (("images.svc:50051",), "images.svc:50051", "127.0.0.1:50051", True),
        (("images.svc:50052", "*.svc:50051"), "images.svc:50051", "127.0.0.1:50051", False),
        (("images.svc:50051",), "images.svc:50051", "169.254.169.254:50051", False),
        (("images.svc:50051",), "images.svc:50051", "[::ffff:127.0.0.1]:50051", False),
        (("*.svc:50051", "127.0.0.1:50051"), "images.svc:50051", "127.0.0.1:50051", True),
        (("*.svc:50051", "127.0.0.1:50052"), "images.svc:50051", "127.0.0.1:50051", False),
        (("localhost:*",), "localhost:50051", "127.0.0.1:50051", True),
        (("localhost:*",), "localhost:50051", "[::1]:50051", True),
        (("localhost:*",), "localhost:50051", "169.254.169.254:50051", False),
    ],
)
def test_what_a_name_resolves_to_is_checked_too(
    patterns: tuple[str, ...], name: str, endpoint: str, *, admitted: bool
) -> None:
    assert admits_behind(patterns, parse(name), endpoint) is admitted
