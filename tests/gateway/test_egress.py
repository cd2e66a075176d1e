"""Which addresses may be called."""

from ipaddress import ip_address

import pytest

from marketplace.gateway import egress
from marketplace.gateway.egress import (
    EndpointForbidden,
    EndpointInvalid,
    check_address,
    check_endpoint,
    check_resolution,
)


class TestCheckAddress:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "2001:0:4136:e378:8000:63bf:3f57:fffe",  # Teredo for 192.168.0.1
        ],
    )
    def test_refuses_everything_that_is_not_public(self, address):
        with pytest.raises(EndpointForbidden):
            check_address(ip_address(address), host="app.example.com")

    @pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
    def test_lets_public_addresses_pass(self, address):
        check_address(ip_address(address), host="app.example.com")


class TestCheckEndpoint:
    @pytest.mark.parametrize(
        "url",
        [
            "https://app.example.com/run",
            "https://app.example.com:8443/run?x=1",
            "https://8.8.8.8/",
            "HTTPS://A.example/",
        ],
    )
    def test_accepts_public_endpoints(self, url):
        check_endpoint(url, allowed=())

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "app.example.com/run",
            "http://app.example.com/run",
            "ftp://app.example.com/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://",
            "https:///run",
            "https://user@app.example.com/",
            "https://user:secret@app.example.com/",
            "https://app.example.com:0/",
            "https://app.example.com:99999/",
            "https://app.example.com:x/",
            "https://app.example.com\\@127.0.0.1/",
            "https://app.example.com/\r\nX: 1",
            " https://app.example.com/",
            "https://bücher.example/",
            "https://-.example/",
            "https://[::1",
            "https://a%2eexample.com/",
            f"https://app.example.com/{'x' * 2000}",
        ],
    )
    def test_refuses_what_is_not_an_endpoint(self, url):
        with pytest.raises(EndpointInvalid) as error:
            check_endpoint(url, allowed=())

        assert error.value.field == "endpoint"

    @pytest.mark.parametrize(
        "url",
        [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://database/",
            "https://metadata.google.internal/",
            "https://printer.local/",
        ],
    )
    def test_refuses_places_inside(self, url):
        with pytest.raises(EndpointForbidden):
            check_endpoint(url, allowed=())

    def test_lets_an_allowed_host_and_port_pass_whatever_it_is(self):
        check_endpoint("http://127.0.0.1:8801/apps/x", allowed={"127.0.0.1:8801"})
        check_endpoint("http://Models.internal:80/", allowed={"models.internal:80"})

    def test_does_not_take_another_port_for_the_allowed_one(self):
        with pytest.raises(EndpointForbidden):
            check_endpoint("https://127.0.0.1:5432/", allowed={"127.0.0.1:8801"})


class TestCheckResolution:
    def test_refuses_a_public_name_that_leads_inside(self, monkeypatch):
        monkeypatch.setattr(egress.socket, "getaddrinfo", _answering("93.184.215.14", "10.0.0.1"))

        with pytest.raises(EndpointForbidden):
            check_resolution("https://app.example.com/")

    def test_accepts_a_name_that_leads_outside(self, monkeypatch):
        monkeypatch.setattr(egress.socket, "getaddrinfo", _answering("93.184.215.14"))

        check_resolution("https://app.example.com/")

    def test_does_not_look_up_what_is_allowed(self):
        check_resolution("http://nowhere.invalid:80/", allowed={"nowhere.invalid:80"})


def _answering(*addresses):
    def getaddrinfo(host, port, **_):
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    return getaddrinfo
