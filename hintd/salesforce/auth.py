"""Getting an access token: the JWT bearer and the client credentials flow.

Both give no refresh token and no lifetime: a token is kept until Salesforce refuses it, then ``refresh`` gets another,
once however many callers notice.  Failed attempts are spaced, because logins are limited per user and hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import msgspec

from hintd.core.errors import CredentialsRefused, RemoteDown, RemoteError
from hintd.core.salesforce_id import to_18
from hintd.salesforce.singleflight import SingleFlight
from hintd.salesforce.wire import Nonsense, check_address, convert

PRODUCTION_AUDIENCE = "https://login.salesforce.com"
TEST_AUDIENCE = "https://test.salesforce.com"
ASSERTION_LIFE_S = 180
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0


class Auth(StrEnum):
    JWT = "jwt"
    CLIENT_CREDENTIALS = "client_credentials"


@dataclass(frozen=True, slots=True)
class Credentials:
    """How hintd logs in to one org.  ``private_key`` is PEM text.  Raises ValueError with a sentence that says what to
    put right; secrets show neither there nor in ``repr``."""

    auth: Auth
    login_url: str
    client_id: str
    username: str = ""
    private_key: str = field(default="", repr=False)
    client_secret: str = field(default="", repr=False)
    audience: str = ""

    def __post_init__(self) -> None:
        login_url = check_address(self.login_url, "[salesforce] login_url")
        if self.auth not in tuple(Auth):
            raise ValueError("[salesforce] auth is neither jwt nor client_credentials: set it to one of them")
        object.__setattr__(self, "auth", Auth(self.auth))
        object.__setattr__(self, "login_url", login_url)
        object.__setattr__(self, "audience", self.audience or default_audience(login_url))
        for name in _NEEDED[self.auth]:
            if not getattr(self, name):
                raise ValueError(f"[salesforce] auth {self.auth.value} needs {name}: set it")
        if self.auth is Auth.CLIENT_CREDENTIALS and login_url in (PRODUCTION_AUDIENCE, TEST_AUDIENCE):
            raise ValueError(
                "[salesforce] login_url must be the org's My Domain (https://….my.salesforce.com) for auth "
                "client_credentials: login.salesforce.com and test.salesforce.com refuse it"
            )


_NEEDED: dict[Auth, tuple[str, ...]] = {
    Auth.JWT: ("client_id", "username", "private_key"),
    Auth.CLIENT_CREDENTIALS: ("client_id", "client_secret"),
}


def default_audience(login_url: str) -> str:
    """Sandboxes log in at test.salesforce.com, under whichever host of theirs the request is sent to."""
    host = urlsplit(login_url).hostname or ""
    return TEST_AUDIENCE if host == "test.salesforce.com" or ".sandbox." in host else PRODUCTION_AUDIENCE


@dataclass(frozen=True, slots=True)
class Token:
    """``organization_id`` and ``user_id`` have 18 characters; Pub/Sub wants the former as ``tenantid``."""

    access_token: str = field(repr=False)
    instance_url: str
    organization_id: str
    user_id: str


class _TokenAnswer(msgspec.Struct, frozen=True):
    access_token: str
    instance_url: str
    id: str  # https://login.salesforce.com/id/<organization id>/<user id>


class TokenSource:
    """The one owner of a connection's access token."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        credentials: Credentials,
        now: Callable[[], datetime],
        *,
        timeout_s: float = 15.0,
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._now = now
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._token: Token | None = None
        self._failures = 0
        self._failed: RemoteError | None = None
        self._not_before: datetime | None = None
        self._login = SingleFlight(self._log_in, name="salesforce-login")

    async def token(self) -> Token:
        """The token at hand, or a new one.  Raises CredentialsRefused, RemoteDown."""
        return self._token if self._token is not None else await self._login()

    async def refresh(self, stale: Token) -> Token:
        """Another token than ``stale``, which Salesforce has refused.  Raises CredentialsRefused, RemoteDown."""
        if self._token is not None and self._token.access_token == stale.access_token:
            self._token = None
        return await self.token()

    async def _log_in(self) -> Token:
        self._keep_distance()
        try:
            token = await self._ask()
        except RemoteError as error:
            self._failures += 1
            wait_s = min(FIRST_BACKOFF_S * 2 ** (self._failures - 1), LONGEST_BACKOFF_S)
            self._failed, self._not_before = error, self._now() + timedelta(seconds=wait_s)
            raise
        self._token, self._failures, self._failed, self._not_before = token, 0, None, None
        return token

    def _keep_distance(self) -> None:
        """Until the backoff is over the last failure stands, without a request."""
        if self._failed is None or self._not_before is None:
            return
        left_s = (self._not_before - self._now()).total_seconds()
        if left_s > 0:
            if isinstance(self._failed, CredentialsRefused):
                raise CredentialsRefused(str(self._failed))
            raise RemoteDown(str(self._failed), after_s=left_s)

    async def _ask(self) -> Token:
        url = f"{self._credentials.login_url}/services/oauth2/token"
        form = _form(self._credentials, self._now())
        try:
            async with self._session.post(url, data=form, timeout=self._timeout, allow_redirects=False) as response:
                return _read_answer(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RemoteDown(f"Salesforce's login cannot be reached: {type(error).__name__}") from error


def _form(credentials: Credentials, now: datetime) -> dict[str, str]:
    match credentials.auth:
        case Auth.JWT:
            return {
                "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "assertion": _assertion(credentials, now),
            }
        case Auth.CLIENT_CREDENTIALS:
            return {
                "grant_type": "client_credentials",
                "client_id": credentials.client_id,
                "client_secret": credentials.client_secret,
            }


def _assertion(credentials: Credentials, now: datetime) -> str:
    claims = {
        "iss": credentials.client_id,
        "sub": credentials.username,
        "aud": credentials.audience,
        "exp": int(now.timestamp()) + ASSERTION_LIFE_S,
    }
    try:
        return jwt.encode(claims, credentials.private_key, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        # from None: what the parsers say may quote the key
        raise CredentialsRefused(
            "The private key of [salesforce] cannot be used: give an RSA key in PEM, without a passphrase"
        ) from None


def _read_answer(status: int, raw: bytes) -> Token:
    try:
        body = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        body = None
    if status != 200:
        raise _token_error(status, body if isinstance(body, Mapping) else {})
    answer = convert(body, _TokenAnswer)
    organization_id, user_id = (to_18(part) for part in ["", *answer.id.rstrip("/").split("/")][-2:])
    if organization_id is None or user_id is None:
        raise Nonsense("Salesforce gave a token without saying for which org and user")
    try:
        instance_url = check_address(answer.instance_url, "Salesforce's instance_url")
    except ValueError as error:
        raise Nonsense(str(error)) from None
    return Token(answer.access_token, instance_url, organization_id, user_id)


_TRANSIENT = frozenset({"rate_limit_exceeded", "unknown_error", "server_error", "temporarily_unavailable"})

_REMEDIES: dict[str, str] = {
    "invalid_grant": "pre-authorise hintd's user for the app (policy 'Admin approved users are pre-authorized', and "
    "its permission set or profile), and check username, certificate, audience and this machine's clock",
    "invalid_client_id": "check client_id: it is the consumer key of the app",
    "invalid_client": "check client_id and client_secret, and that the flow is enabled in the app",
    "invalid_client_credentials": "check client_secret: it does not belong to this client_id",
    "invalid_app_access": "allow hintd's user to use the app: its policy does not admit this user",
    "inactive_user": "activate hintd's user in Salesforce",
    "inactive_org": "the org is locked, closed or suspended: ask Salesforce's support",
    "unsupported_grant_type": "enable the flow of [salesforce] auth in the app, and use the My Domain as login_url",
    "invalid_request": "check login_url, client_id and audience",
}


def _token_error(status: int, body: Mapping[str, Any]) -> RemoteError:
    """Salesforce's description is quoted: it speaks of the app and the user, never of a patient; it may be absent."""
    error = body.get("error")
    if status >= 500 or status == 429 or error in _TRANSIENT:
        return RemoteDown(f"Salesforce's login does not serve now ({error or status})")
    if not isinstance(error, str) or not 400 <= status < 500:
        return RemoteDown(f"No Salesforce login answers at [salesforce] login_url ({status}): check the address")
    description = body.get("error_description")
    told = f" ({description[:200]})" if isinstance(description, str) else ""
    remedy = _REMEDIES.get(error, "look into the Login History of hintd's user in Salesforce's Setup")
    return CredentialsRefused(f"Salesforce refuses the login: {error}{told}; {remedy}")
