"""Addresses that may be read: schemes, computers and sizes, and the variables that allow more.

A manifest may come from a stranger, and its addresses are read by this machine. So the schemes are a short
list, computers of the own network are not asked (they often trust every computer in it), and a file has a
largest size. Three variables of the environment change that, for this process and its workers:

| variable | effect |
|---|---|
| `QUINTET_URL_SCHEMES=ftp,sftp` | further schemes of fsspec |
| `QUINTET_PRIVATE_ADDRESSES=1` | computers of the own network, and this one |
| `QUINTET_DOWNLOAD_MB=8000` | the largest file, MB (default 2,000) |
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from urllib.parse import urlsplit

from quintet.errors import ConfigError, DecodeError

WEB_SCHEMES = ("https", "http")
STORAGE_SCHEMES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Schemes of storage services. The computer is that of the user's credentials, whatever the address says."""
SCHEMES = ("file", *WEB_SCHEMES, *STORAGE_SCHEMES, "memory")
"""Schemes that are read without a variable of the environment."""
MOST_MB = 2000.0

SCHEMES_VARIABLE = "QUINTET_URL_SCHEMES"
PRIVATE_VARIABLE = "QUINTET_PRIVATE_ADDRESSES"
SIZE_VARIABLE = "QUINTET_DOWNLOAD_MB"

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # at least two letters: `C:/` is a drive
_EMBEDDED = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address in its last 32 bits

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def url_scheme(path: str) -> str | None:
    """Scheme of a URL in small letters; None for a path.

    Example:
        >>> url_scheme("S3://bucket/a.wav"), url_scheme("/music/a.wav"), url_scheme("C:/music/a.wav")
        ('s3', None, None)
    """
    match = _URL.match(path)
    return match[1].lower() if match else None


def address_fault(url: str) -> str | None:
    """Why an address is not read, judged by its text alone; None if it may be read.

    Example:
        >>> address_fault("https://example.org/a.wav") is None
        True
        >>> address_fault("ftp://example.org/a.wav").partition(".")[0]
        'The scheme of an address must be one of: file, https, http, s3, s3a, gs, gcs, az, abfs, ...
    """
    scheme = url_scheme(url)
    allowed = (*SCHEMES, *_further_schemes())
    if scheme not in allowed:
        return (
            f"The scheme of an address must be one of: {', '.join(allowed)}. Received '{scheme}': fetch the "
            f"file yourself, or allow the scheme with {SCHEMES_VARIABLE}={scheme}."
        )
    if scheme not in WEB_SCHEMES and "::" in url:
        return (
            "An address must name one file. Received a chain of addresses (::): fetch the file yourself and "
            "list its path."
        )
    return None


def require_public_host(url: str) -> None:
    """Refuse the address of a service on a computer of the own network, for schemes that fsspec reads.

    Raises:
        DecodeError: the address names such a computer, or one that is not known.
    """
    if url_scheme(url) in ("file", "memory", *STORAGE_SCHEMES):
        return
    parts = urlsplit(url)
    try:
        public_addresses(parts.hostname or "", parts.port or 0)
    except OSError as error:
        if isinstance(error, DecodeError):
            raise
        raise DecodeError(f"The computer of an address must be known. {url}: {error}.") from error


def public_addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    """Family and socket address of a computer, for each of its addresses that may be asked.

    Args:
        host: its name or number.
        port: the port.

    Raises:
        DecodeError: all its addresses belong to the own network or to this computer.
        OSError: the name is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed: list[tuple[socket.AddressFamily, tuple[object, ...]]] = [
        (family, tuple(address))
        for family, _, _, _, address in found
        if are_private_allowed() or is_public(str(address[0]))
    ]
    if not allowed:
        raise DecodeError(
            f"The computer of an address must be a public one. '{host}' is {found[0][4][0]}: fetch the file "
            f"yourself, or allow addresses of this network with {PRIVATE_VARIABLE}=1."
        )
    return allowed


def is_public(number: str) -> bool:
    """Whether an IP address belongs to a computer of the public internet.

    Example:
        >>> [is_public(number) for number in ("93.184.215.14", "127.0.0.1", "169.254.169.254", "::1")]
        [True, False, False, False]
    """
    address: Address = ipaddress.ip_address(number.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _EMBEDDED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return address.is_global and not address.is_multicast


def are_private_allowed() -> bool:
    """Whether the environment allows computers of the own network."""
    return os.environ.get(PRIVATE_VARIABLE) == "1"


def most_bytes() -> int:
    """Size of the largest file that is fetched, bytes.

    Raises:
        ConfigError: the variable of the environment is no positive number.
    """
    text = os.environ.get(SIZE_VARIABLE, str(MOST_MB))
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = -1.0
    if not megabytes > 0:
        raise ConfigError(f"{SIZE_VARIABLE} must be a positive number of megabytes. Received '{text}'.")
    return int(min(megabytes * 1e6, 2.0**62))


def too_large(url: str, size: int | None = None) -> DecodeError:
    """The error for a file above the largest size.

    Args:
        url: its address.
        size: its size, bytes; None if it is not known.
    """
    received = "is larger" if size is None else f"has {size / 1e6:,.0f} MB"
    return DecodeError(
        f"A file at an address may have {most_bytes() / 1e6:,.0f} MB. {url} {received}: fetch it yourself, "
        f"or allow more with {SIZE_VARIABLE}."
    )


def _further_schemes() -> list[str]:
    names = os.environ.get(SCHEMES_VARIABLE, "").lower().split(",")
    return [name.strip() for name in names if name.strip()]
