"""How far a reading of everything moves the watermark."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hintd.core.model import Side
from hintd.ports import ContactPage
from hintd.service.sweep import fill_index, load_watermark
from hintd.service.work import Remotes
from tests.service.batch_clinic import Clinic, in_clinic


class EditedMeanwhile:
    """An org in which somebody edits a Contact while all are read, before the page that shows it."""

    def __init__(self, clinic: Clinic, contact_id: str) -> None:
        self._clinic, self._contact_id = clinic, contact_id

    async def changed_contacts(self, call: Any, **named: Any) -> ContactPage:
        self._clinic.world.loop.jump(600.0)
        self._clinic.world.org.edit(self._contact_id, {"MailingCity": "Oslo"})
        return await self._clinic.world.org.changed_contacts(call, **named)


def test_what_was_edited_while_all_was_read_is_read_again_by_the_next_sweep() -> None:
    async def story(clinic: Clinic) -> None:
        contact_id = clinic.contact()
        begun, work = clinic.world.loop.now(), clinic.world.work()
        org: Any = EditedMeanwhile(clinic, contact_id)
        await fill_index(replace(work, remotes=Remotes(work.connection, work.remotes.hint, org)))
        edited = clinic.world.org.look(contact_id)
        assert edited is not None and edited.stamp > begun + timedelta(seconds=500)
        assert await load_watermark(work, Side.SALESFORCE) == begun

    in_clinic(story)
