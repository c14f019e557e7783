"""The token endpoint: JWT bearer and client credentials, and the access tokens that stand."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import jwt
from aiohttp import web

from hintd.sandbox.options import Options

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LOGIN_HOSTS = ("login.", "test.")
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
_LIFETIME = timedelta(hours=2)  # of a session that is not used


class _Denied(Exception):
    """No token: ``error`` and ``error_description`` of the answer."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


class OAuth:
    """Issues tokens for the one integration user; use of a token renews it."""

    def __init__(self, options: Callable[[], Options], now: Callable[[], datetime], org_id: str, user_id: str) -> None:
        self._options = options
        self._now = now
        self._org_id = org_id
        self._user_id = user_id
        self._used_at: dict[str, datetime] = {}

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/services/oauth2/token", self.token)
        app.router.add_get("/services/oauth2/userinfo", self.userinfo)
        app.router.add_post("/services/oauth2/revoke", self.revoke)

    def issue(self) -> str:
        token = f"{self._org_id[:15]}!{secrets.token_urlsafe(48)}"
        self._used_at[token] = self._now()
        return token

    def stands(self, token: str) -> bool:
        """Whether a token can be used now."""
        now = self._now()
        if token not in self._used_at or now - self._used_at[token] > _LIFETIME:
            return False
        self._used_at[token] = now
        return True

    def revoke_all(self) -> int:
        """End every session; returns how many there were."""
        count = len(self._used_at)
        self._used_at.clear()
        return count

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        try:
            self._check(form, request)
        except _Denied as denied:
            return web.json_response({"error": denied.error, "error_description": str(denied)}, status=400)
        return web.json_response(self._granted(request, with_signature=form["grant_type"] != JWT_BEARER))

    async def userinfo(self, request: web.Request) -> web.Response:
        if not self.stands(request.headers.get("Authorization", "").removeprefix("Bearer ")):
            return web.Response(status=403, text="Bad_OAuth_Token")
        username = self._options().username
        return web.json_response(
            {"user_id": self._user_id, "organization_id": self._org_id, "preferred_username": username}
        )

    async def revoke(self, request: web.Request) -> web.Response:
        self._used_at.pop(str((await request.post()).get("token", "")), None)
        return web.Response()

    def _granted(self, request: web.Request, *, with_signature: bool) -> dict[str, Any]:
        granted: dict[str, Any] = {
            "access_token": self.issue(),
            "scope": "api",
            "instance_url": f"{request.scheme}://{request.host}",
            "id": f"https://login.salesforce.com/id/{self._org_id}/{self._user_id}",
            "token_type": "Bearer",
        }
        if with_signature:
            granted["issued_at"] = str(int(self._now().timestamp() * 1000))
            granted["signature"] = base64.b64encode(secrets.token_bytes(32)).decode()
        return granted

    def _check(self, form: Mapping[str, str], request: web.Request) -> None:
        match form.get("grant_type"):
            case "client_credentials":
                self._check_secret(form, request)
            case grant if grant == JWT_BEARER:
                self._check_assertion(form.get("assertion", ""), f"{request.scheme}://{request.host}")
            case _:
                raise _Denied("unsupported_grant_type", "grant type not supported")

    def _check_secret(self, form: Mapping[str, str], request: web.Request) -> None:
        if request.host.startswith(_LOGIN_HOSTS):
            raise _Denied("invalid_grant", "request not supported on this domain")
        options = self._options()
        client_id, secret = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
        if client_id != options.client_id:
            raise _Denied("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(secret.encode(), options.client_secret.encode()):
            raise _Denied("invalid_client", "invalid client credentials")

    def _check_assertion(self, assertion: str, own_url: str) -> None:
        options = self._options()
        if options.jwt_public_key is None:
            raise _Denied("invalid_grant", "user hasn't approved this consumer")
        claims = _claims(assertion, options.jwt_public_key.read_text())
        if claims.get("iss") != options.client_id:
            raise _Denied("invalid_client_id", "client identifier invalid")
        if claims.get("aud") not in (*_AUDIENCES, own_url):
            raise _Denied("invalid_grant", "audience is invalid")
        if claims.get("sub") != options.username:
            raise _Denied("invalid_grant", "user hasn't approved this consumer")
        now = self._now().timestamp()
        if not isinstance(claims.get("exp"), int) or not now - 30 < claims["exp"] < now + 600:
            raise _Denied("invalid_grant", "assertion has expired or its expiry is too far off")


def _claims(assertion: str, public_key: str) -> dict[str, Any]:
    """The claims of a well signed assertion, unchecked: time is the sandbox's own."""
    try:
        return jwt.decode(
            assertion,
            public_key,
            algorithms=["RS256"],
            options={"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False},
        )
    except jwt.InvalidTokenError:
        raise _Denied("invalid_grant", "invalid assertion") from None


def _basic(request: web.Request) -> tuple[str, str] | None:
    header = request.headers.get("Authorization", "")
    if not header.startswith("Basic "):
        return None
    try:
        client_id, _, secret = base64.b64decode(header[6:]).decode().partition(":")
    except ValueError:
        raise _Denied("invalid_client", "invalid client credentials") from None
    return client_id, secret
