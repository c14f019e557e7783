"""A running ``rest_org.Org``, the keys to log in to it, and a client that has described it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hintd.core.fields import FIELDS
from hintd.core.rules import Rules
from hintd.ports import Call
from hintd.salesforce.auth import Auth, Credentials, TokenSource
from hintd.salesforce.contacts import SalesforceClient
from tests.salesforce.rest_org import VERSION, Org


@dataclass(frozen=True)
class KeyPair:
    private: str
    public: str


@pytest.fixture(scope="session")
def keys() -> KeyPair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private.decode(), public.decode())


@pytest.fixture
async def org(keys: KeyPair) -> AsyncIterator[Org]:
    org = Org(keys.public)
    async with TestServer(org.app()) as server:
        org.url = str(server.make_url("")).rstrip("/")
        yield org
        org.released.set()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def token_source(org: Org, session: aiohttp.ClientSession) -> TokenSource:
    credentials = Credentials(Auth.CLIENT_CREDENTIALS, org.url, "key", client_secret="s3cret")
    return TokenSource(session, credentials, lambda: datetime.now(UTC))


@pytest.fixture
def counts() -> Counter[tuple[str, str]]:
    return Counter()


@pytest.fixture
async def client(
    org: Org, session: aiohttp.ClientSession, counts: Counter[tuple[str, str]]
) -> AsyncIterator[SalesforceClient]:
    def count(remote: str, call: Call, result: str) -> None:
        counts[(call.purpose, result)] += 1

    client = SalesforceClient(
        session,
        token_source(org, session),
        api_version=VERSION,
        fields=FIELDS,
        rules=Rules(),
        count=count,
        timeout_s=5,
    )
    await client.book()
    org.requests.clear()
    counts.clear()
    yield client
    client.close()
