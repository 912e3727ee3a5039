"""TLS: what a ``rediss://`` or ``amqps://`` URL says of it, and what each library wants to hear.

    rediss://:password@host:6380/0?ssl_ca_certs=/etc/ssl/our-ca.pem
    amqps://user:password@host//?ssl_ca_certs=/etc/ssl/our-ca.pem

The server's certificate is verified, and that it is the host's, unless the URL says otherwise in so
many words; then that is logged. Of themselves kombu verifies nothing, py-amqp no host's name, and
redis-py before version 6 neither.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from nbqueue.core.errors import UsageError

log = logging.getLogger("nbqueue.store")

_SCHEMES = ("rediss", "amqps")
_NAMES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_VERIFY = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_warned: set[str] = set()


@dataclass(frozen=True)
class Tls:
    """How a server is to be trusted, and who one is there."""

    host: str | None
    ca_certs: str | None = None
    """File with the certificates of authorities; by default those of the system."""
    certfile: str | None = None
    keyfile: str | None = None
    verify: str = "required"
    check_hostname: bool = True

    @property
    def is_safe(self) -> bool:
        """Whether nobody else can pass for the server."""
        return self.verify != "none" and self.check_hostname


def of(url: str) -> Tls | None:
    """Give what a URL says; ``None`` where there is no TLS. Opting out is logged, once a server.

    Raises:
        UsageError: it says what nobody understands; or TLS options without TLS.
    """
    scheme, host, given = _taken_apart(url)
    if scheme not in _SCHEMES:
        if given and scheme in ("redis", "amqp"):
            raise UsageError(
                f"{', '.join(sorted(given))} in a URL without TLS: write "
                f"{'rediss' if scheme == 'redis' else 'amqps'}://..."
            )
        return None
    if unknown := set(given) - set(_NAMES):
        raise UsageError(
            f"no TLS option {', '.join(sorted(unknown))}: there are {', '.join(_NAMES)}"
        )
    several = ";" in url
    found = Tls(
        None if several else host,
        given.get("ssl_ca_certs"),
        given.get("ssl_certfile"),
        given.get("ssl_keyfile"),
        _one_of(_VERIFY, "ssl_cert_reqs", given.get("ssl_cert_reqs", "required")),
        _TRUTH[_one_of(_TRUTH, "ssl_check_hostname", given.get("ssl_check_hostname", "true"))],
    )
    _warn(found, host)
    return found


def _taken_apart(url: str) -> tuple[str, str | None, dict[str, str]]:
    """Give scheme, host and TLS options of (the first of some) URLs, and not the password."""
    parts = urlsplit(url.partition(";")[0])
    options = parse_qsl(parts.query, keep_blank_values=True)
    return parts.scheme, parts.hostname, {k: v for k, v in options if k.startswith("ssl_")}


def without_options(url: str) -> str:
    """Give a URL (or several) without its TLS options, which kombu takes for its own."""
    return ";".join(map(_without_options, url.split(";")))


def _without_options(url: str) -> str:
    head, mark, query = url.partition("?")
    left = [(k, v) for k, v in parse_qsl(query, keep_blank_values=True) if k[:4] != "ssl_"]
    return f"{head}?{urlencode(left, quote_via=quote)}" if mark and left else head


def for_redis(tls: Tls) -> dict[str, Any]:
    """Give what redis-py wants to know, which is also what kombu passes on to it."""
    return {
        "ssl_cert_reqs": tls.verify,
        # (Who does not verify has no name to check.)
        "ssl_check_hostname": tls.check_hostname and tls.verify != "none",
        **_files(tls, "ssl_"),
    }


def for_amqp(tls: Tls) -> dict[str, Any]:
    """Give what py-amqp wants to know."""
    found = {"cert_reqs": _VERIFY[tls.verify], **_files(tls, "")}
    if tls.check_hostname and tls.verify != "none":
        found["server_hostname"] = tls.host  # of several hosts, kombu fills in each
    return found


def advice(exc: BaseException) -> str | None:
    """Say what to do about an error of TLS; ``None`` when it is none."""
    text = str(exc)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        if "ostname mismatch" in text or "IP address mismatch" in text or "not valid for" in text:
            return (
                "its certificate is another host's: use the name that the certificate has in the "
                "URL (or ?ssl_check_hostname=false, if you know why)"
            )
        return (
            "its certificate is not signed by an authority that this machine trusts: give the "
            "authority's file, ?ssl_ca_certs=/path/to/ca.pem in the URL"
        )
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return "it does not speak TLS at this port: is it another port, or a URL without the s?"
    if "alert" in text.lower() and "certificate" in text.lower():
        return (
            "it wants to see a certificate: ?ssl_certfile=/path/to/cert.pem"
            "&ssl_keyfile=/path/to/key.pem in the URL"
        )
    return None


def _files(tls: Tls, prefix: str) -> dict[str, str]:
    named = {"ca_certs": tls.ca_certs, "certfile": tls.certfile, "keyfile": tls.keyfile}
    return {prefix + name: path for name, path in named.items() if path}


def _one_of(known: Mapping[str, Any], name: str, value: str) -> str:
    word = value.lower().removeprefix("cert_")
    if word not in known:
        raise UsageError(f"{name} is one of {', '.join(known)}, not {value!r}")
    return word


def _warn(tls: Tls, host: str | None) -> None:
    if tls.is_safe or (key := f"{host} {tls.verify}") in _warned:
        return
    _warned.add(key)
    log.warning(
        "it is not verified that %s is who it says, because the URL has ssl_%s: whoever is between "
        "can read all that is sent, passwords too (what runs is signed all the same)",
        host,
        "cert_reqs=none" if tls.verify == "none" else "check_hostname=false",
    )
