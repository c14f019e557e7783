"""Connecting a practice with an org (README rule 11), and taking over the links that an earlier integration left.

Every step can be repeated: Salesforce is checked before the authorization code is used up, the token is stored as soon
as it is there, and a repeated attempt whose code Hint no longer takes goes on with the stored token.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from hintd.core.contact import LAST_BATCH_ID, LAST_BATCH_RESULT, LAST_SYNCED, PATIENT_ID, SYNC_ERROR, SYNCED
from hintd.core.errors import Refused
from hintd.core.fields import Book
from hintd.core.model import Contact, Owner, Patient, Record, Side
from hintd.core.salesforce_id import to_18
from hintd.ports import AlreadyLinked, CallClass, Connection, Connections, SalesforceOrg, Settlement, ToPark
from hintd.service.linking import adopt_link
from hintd.service.sweep import fill_index, load_watermark, save_watermark
from hintd.service.work import Work

ADOPTED = "adopted"
"""The cursor that says that the earlier integration's links were looked at: it happens once."""

DEFAULTS: Mapping[str, Any] = {"create_unmatched_contacts": False, "sync_new_patients": "auto"}


class ConnectingRefused(Exception):
    """The practice cannot be connected like this; ``str()`` says why and what to do."""


class Installed(Protocol):
    """What Hint answers to a code."""

    @property
    def id(self) -> str: ...
    @property
    def practice_id(self) -> str: ...
    @property
    def practice_name(self) -> str: ...
    @property
    def token(self) -> str | None: ...


class Registered(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def url(self) -> str: ...


class Partner(Protocol):
    """What the partner key is for.  Errors: those of ``hintd.core.errors``."""

    async def connect(self, code: str) -> Installed: ...
    async def register_webhook(self, installation_id: str, url: str) -> Registered: ...
    async def change_webhook(self, installation_id: str, webhook_id: str, url: str) -> Registered | None: ...


class Org(SalesforceOrg, Protocol):
    """An org as it is met for the first time."""

    async def organization(self) -> tuple[str, str]: ...
    async def find_account(self, name_or_id: str) -> str | None: ...
    async def create_account(self, name: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks for.  ``secrets``: what differs from ``[salesforce]`` for this connection, as
    ``salesforce_*``."""

    name: str
    code: str = field(repr=False)
    default_account: str
    public_url: str
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class FoundOrg:
    """``missing``: names of synced fields, and API names of hintd's own, that the org has not."""

    organization_id: str
    organization_name: str
    instance_url: str
    account_id: str
    missing: tuple[str, ...]


@dataclass(slots=True)
class Adoption:
    """``differing``: pairs that were taken over although fields differ; ``contradictions``: what was parked."""

    adopted: int = 0
    differing: list[dict[str, object]] = field(default_factory=list)
    contradictions: list[dict[str, object]] = field(default_factory=list)


def webhook_url(public_url: str) -> str:
    return f"{public_url.rstrip('/')}/hint/webhooks"


def missing_link_fields(book: Book) -> str | None:
    """Why Contacts of this org cannot be linked, as a sentence that says what to deploy; None when they can be."""
    for name in (SYNCED, PATIENT_ID):
        shape = book.shape.get(name)
        if shape is None:
            return (
                f"The org has no Contact field {name}, or hintd's user may not see it. Deploy hintd's Salesforce "
                "package (deploy/salesforce) and assign its permission set to hintd's user."
            )
        if not (shape.createable and shape.updateable):
            return f"hintd's user may not edit the Contact field {name}: assign it the package's permission set."
    if not book.shape[PATIENT_ID].external_id:
        return f"The Contact field {PATIENT_ID} is no external id: deploy hintd's Salesforce package over it."
    return None


def missing_fields(book: Book) -> tuple[str, ...]:
    """What is left out because the org has it not; no error."""
    own = (LAST_SYNCED, SYNC_ERROR, LAST_BATCH_ID, LAST_BATCH_RESULT)
    return (*book.missing, *(name for name in own if name not in book.shape))


async def find_org(org: Org, instance_url: str, default_account: str) -> FoundOrg:
    """Raises ConnectingRefused, and what the remote raises."""
    book = await org.book(fresh=True)
    if (why_not := missing_link_fields(book)) is not None:
        raise ConnectingRefused(why_not)
    organization_id, organization_name = await org.organization()
    account_id = await find_or_create_account(org, default_account)
    return FoundOrg(organization_id, organization_name, instance_url, account_id, missing_fields(book))


async def find_or_create_account(org: Org, name_or_id: str) -> str:
    """Looked for first, so that a repeated attempt finds what an earlier one made."""
    found = await org.find_account(name_or_id)
    if found is not None:
        return found
    if name_or_id.startswith("001") and to_18(name_or_id) is not None:
        raise ConnectingRefused(f"There is no Account {name_or_id}: give the id of one that exists, or a name.")
    return await org.create_account(name_or_id)


async def install(
    partner: Partner, connections: Connections, request: Request, org: FoundOrg, now: datetime
) -> Connection:
    """Exchange the code and store the connection with its token, active.  Raises ConnectingRefused, NameTaken."""
    before = await connections.by_name(request.name)
    try:
        installed = await partner.connect(request.code)
    except Refused as refused:
        if before is None or "hint_token" not in before.secrets:
            raise ConnectingRefused(
                f"Hint does not take this authorization code ({refused.refusal.code}). A code works once and expires: "
                "let the practice's admin make a new one in Hint under Admin → Integrations, and add it again."
            ) from refused
        return await _store(connections, request, org, before)  # used up by an earlier attempt, which left its token
    settings = {**DEFAULTS, **(before.settings if before is not None else {})}
    token = {"hint_token": installed.token} if installed.token else {}
    made = Connection(
        id=0,
        name=request.name,
        practice_id=installed.practice_id,
        practice_name=installed.practice_name,
        installation_id=installed.id,
        organization_id=org.organization_id,
        organization_name=org.organization_name,
        state="active",
        created_at=now,
        settings=settings,
        webhook=before.webhook if before is not None else {},
        secrets=token,
    )
    return await _store(connections, request, org, made)


async def _store(connections: Connections, request: Request, org: FoundOrg, made: Connection) -> Connection:
    """Another org under the same links would pair patients with ids of nobody: refused."""
    standing = next((c for c in await connections.all() if c.practice_id == made.practice_id), None)
    if standing is not None and standing.organization_id != org.organization_id:
        raise ConnectingRefused(
            f"The practice is connected with the org {standing.organization_id} as {standing.name}; these credentials "
            f"lead to {org.organization_id}. Check [salesforce], or remove the former connection first."
        )
    return await connections.add(
        replace(
            made,
            state="active",
            paused_why=None,
            settings={**made.settings, "instance_url": org.instance_url},
            default_account_id=org.account_id,
            secrets={"hint_token": made.secrets.get("hint_token", ""), **request.secrets},
        )
    )


async def point_webhook(partner: Partner, connections: Connections, connection: Connection, url: str) -> Connection:
    """Register the URL for this installation only, or move the webhook that hintd has there."""
    hook, installation = connection.webhook, connection.installation_id
    moved = None
    if hook.get("id") and hook.get("url") != url:
        moved = await partner.change_webhook(installation, hook["id"], url)
    registered = moved or await partner.register_webhook(installation, url)
    connection = replace(connection, webhook={"id": registered.id, "url": registered.url})
    await connections.change(connection)
    return connection


async def take_stock(
    work: Work, progress: Callable[[Side, int], None], *, adopt: bool
) -> tuple[Mapping[Side, int], Adoption | None]:
    """Fill the indexes from both sides; with ``adopt``, and if it was not done before, take over the links found."""
    work = work.calling_as(CallClass.MANUAL)
    begun = work.now()
    for side in Side:  # so that a sweep of the daemon, meanwhile, does not read everything a second time
        if await load_watermark(work, side) is None:
            await save_watermark(work, side, begun)
    if not adopt or await work.stores.cursors.load(work.connection.id, ADOPTED) is not None:
        return await fill_index(work, progress), None
    adopter = _Adopter(work)
    counts = await fill_index(work, progress, adopter.look_at)
    await adopter.park_unfound()
    await work.stores.cursors.save(work.connection.id, ADOPTED, b"done")
    return counts, adopter.found


class _Adopter:
    """Pages come by, Contacts first: those that say they are synced are kept until their patients come."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._claims: defaultdict[str, list[Contact]] = defaultdict(list)
        self.found = Adoption()

    async def look_at(self, page: Sequence[Record]) -> None:
        for record in page:
            if isinstance(record, Patient):
                if (claims := self._claims.pop(record.id, None)) is not None:
                    await self._adopt(record, claims)
            elif record.synced and record.patient_id and not (record.deleted or record.person_account):
                self._claims[record.patient_id].append(record)

    async def _adopt(self, patient: Patient, claims: Sequence[Contact]) -> None:
        contact = claims[0]
        if len(claims) > 1:
            for claim in claims:
                await self._park(
                    claim.id, patient.id, "claimed_twice", "Several Contacts say that they are this patient."
                )
        elif patient.merged_into is not None:
            await self._park(
                contact.id, patient.id, "patient_merged", f"The patient was merged into {patient.merged_into}."
            )
        elif patient.contact_id is not None and to_18(patient.contact_id) != contact.id:
            sentence = f"The Contact names this patient, but the patient names the record {patient.contact_id}."
            await self._park(contact.id, patient.id, "patient_names_another", sentence)
        else:
            await self._take_over(contact, patient)

    async def _take_over(self, contact: Contact, patient: Patient) -> None:
        try:
            differing = await adopt_link(self._work, contact, patient)
        except AlreadyLinked as error:
            if (error.link.contact_id, error.link.patient_id) != (contact.id, patient.id):
                await self._park(contact.id, patient.id, "linked_already", f"{error} already.")
            return
        self.found.adopted += 1
        if differing:
            self.found.differing.append({"contact_id": contact.id, "patient_id": patient.id, "fields": differing})

    async def park_unfound(self) -> None:
        """After the last page: Contacts whose patient did not come."""
        for patient_id, claims in self._claims.items():
            for contact in claims:
                await self._park(contact.id, patient_id, "patient_not_found", "Hint shows no patient of this id.")

    async def _park(self, contact_id: str, patient_id: str, cause: str, sentence: str) -> None:
        what = "A link that an earlier integration left was not taken over."
        message = f"{what} {sentence} Link them by hand, or dismiss this."
        item = ToPark("adoption", cause, Owner.CLINIC, message, contact_id, patient_id)
        work = self._work
        await work.stores.links.settle(Settlement(work.connection.id, work.now(), park=(item,)))
        self.found.contradictions.append({"contact_id": contact_id, "patient_id": patient_id, "cause": cause})
