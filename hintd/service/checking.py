"""``hintd check``: does everything that a connection needs work, and what to do where it does not.

Each check asks one thing and never stops the others; it writes nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hintd.core.errors import CredentialsRefused, Misconfigured, RemoteError, Retryable
from hintd.core.fieldmap import check_against_shape
from hintd.core.fields import Field
from hintd.ports import Call, CallClass, Connection, HintPractice
from hintd.service.connecting import Org, Registered, missing_fields, missing_link_fields
from hintd.service.steering import is_paused_by_person

_IP_LOCK = (
    " If the login works and calls are refused, switch off Lock sessions to the IP address from which they originated "
    "(Setup, Session Settings)."
)


@dataclass(frozen=True, slots=True)
class Check:
    """``message`` says what was found; ``remedy`` what to do, where something has to be done."""

    name: str
    ok: bool
    message: str
    remedy: str | None = None


class Webhooks(Protocol):
    async def list_webhooks(self, installation_id: str) -> Sequence[Registered]: ...


class OrgToCheck(Org, Protocol):
    async def versions(self) -> Sequence[str]: ...


class Login(Protocol):
    @property
    def organization_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Ways:
    """Everything that can be asked about one connection.  ``stream_trouble``: what keeps the change stream from
    running and its remedy."""

    connection: Connection
    partner: Webhooks
    hint: HintPractice
    org: OrgToCheck
    log_in: Callable[[], Awaitable[Login]]
    stream_trouble: Callable[[], Awaitable[tuple[str, str] | None]]
    fields: Sequence[Field]
    api_version: str
    webhook_url: str


async def check_connection(ways: Ways) -> list[Check]:
    """Salesforce's checks after the login are left out when the login fails: they would all say the same."""
    connection = ways.connection
    name = connection.name
    checks = [_state(connection)]
    checks.append(
        await _asked(f"{name}: Hint token", lambda: _hint_token(ways), "Add the connection again with a new code.")
    )
    checks.append(await _asked(f"{name}: webhook", lambda: _webhook(ways), "Check [hint] partner_key."))
    login = await _asked(
        f"{name}: Salesforce login", lambda: _login(ways), "Check [salesforce] and the app's policies."
    )
    checks.append(login)
    if login.ok:
        checks.append(await _asked(f"{name}: API version", lambda: _version(ways), "Check [salesforce] api_version."))
        checks.append(await _asked(f"{name}: fields", lambda: _fields(ways), "Check hintd's permission set."))
        checks.append(
            await _asked(f"{name}: change stream", lambda: _stream(ways), "Check [salesforce] pubsub_address.")
        )
    return checks


def _state(connection: Connection) -> Check:
    name = f"{connection.name}: state"
    if connection.state == "active":
        return Check(name, True, "active")
    why = f": {connection.paused_why}" if connection.paused_why else ""
    remedy = "hintd goes on by itself once the checks below pass."
    if is_paused_by_person(connection):
        remedy = "Let it go on with the control message sync.resume."
    return Check(name, False, f"{connection.state}{why}", remedy)


Found = tuple[bool, str, str | None]


async def _asked(name: str, ask: Callable[[], Awaitable[Found]], otherwise: str) -> Check:
    """The errors of the remotes are sentences that say what to do themselves."""
    try:
        ok, message, remedy = await ask()
    except CredentialsRefused as error:
        return Check(name, False, str(error), otherwise + (_IP_LOCK if "Salesforce" in str(error) else ""))
    except Misconfigured as error:
        return Check(name, False, str(error), otherwise)
    except Retryable as error:
        return Check(name, False, str(error), "The remote does not answer now: try again later.")
    except RemoteError as error:
        return Check(name, False, str(error), otherwise)
    return Check(name, ok, message, remedy)


async def _hint_token(ways: Ways) -> Found:
    page = await ways.hint.list_patients(Call(CallClass.MANUAL, "check"), offset=0, limit=1)
    return True, f"Hint takes the token; the practice has {page.total} patients.", None


async def _webhook(ways: Ways) -> Found:
    urls = [hook.url for hook in await ways.partner.list_webhooks(ways.connection.installation_id)]
    ours = ways.connection.webhook.get("url") or ways.webhook_url
    if ours not in urls:
        registered = ", ".join(urls) or "none"
        remedy = f"Run: hintd connection webhook {ways.connection.name} --set {ways.webhook_url}"
        return False, f"Hint sends no events to {ours}; registered: {registered}.", remedy
    if ours != ways.webhook_url:
        remedy = f"Check [service] public_url, or run: hintd connection webhook {ways.connection.name} --set {ours}"
        return True, f"Registered: {ours}, which is not below [service] public_url.", remedy
    return True, f"Registered: {ours}", None


async def _login(ways: Ways) -> Found:
    login = await ways.log_in()
    expected = ways.connection.organization_id
    if login.organization_id != expected:
        remedy = "Check login_url and username: they belong to another org."
        return False, f"The login leads to the org {login.organization_id}, not to {expected}.", remedy
    return True, f"Logged in to {expected}.", None


async def _version(ways: Ways) -> Found:
    versions = await ways.org.versions()
    if ways.api_version in versions:
        return True, f"The org answers API version {ways.api_version}.", None
    newest = max(versions, key=lambda text: tuple(int(part) for part in text.split(".") if part.isdigit()), default="?")
    return (
        False,
        f"The org does not answer API version {ways.api_version}.",
        f"Set [salesforce] api_version to {newest}.",
    )


async def _fields(ways: Ways) -> Found:
    book = await ways.org.book(fresh=True)
    if (why_not := missing_link_fields(book)) is not None:
        return False, why_not, "Deploy the package, then check again."
    complaints = check_against_shape(book, ways.fields)
    if complaints:
        return False, " ".join(complaints), "Correct [sync.fields], or the org."
    missing = missing_fields(book)
    if missing:
        return True, f"Left out, because the org has them not: {', '.join(missing)}.", None
    return True, "The org has all fields, and hintd's user may write them.", None


async def _stream(ways: Ways) -> Found:
    trouble = await ways.stream_trouble()
    if trouble is not None:
        return False, f"The change stream cannot run ({trouble[0]}); hintd polls meanwhile.", trouble[1]
    return True, "hintd's user may subscribe to the changes of Contacts.", None


def summary(checks: Sequence[Check]) -> Mapping[str, Any]:
    return {"ok": all(check.ok for check in checks), "checks": list(checks)}
