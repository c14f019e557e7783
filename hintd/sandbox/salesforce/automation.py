"""The org's own automation on save: a trigger, a rewriting flow, a validation rule, a duplicate rule.

It runs inside the transaction of whoever saves, so what it changes carries the saver's name in the change event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hintd.sandbox.salesforce.refusal import Refusal
from hintd.sandbox.salesforce.switches import Rules

Row = Mapping[str, Any]


def automate(rules: Rules, before: Row | None, after: dict[str, Any]) -> dict[str, Any]:
    """The row as the automation leaves it.  Raises Refusal where the validation rule says no."""
    if rules.trigger_when is not None and after.get(rules.trigger_when) != (before or {}).get(rules.trigger_when):
        after = {**after, **rules.trigger_sets}
    upper = {name: after[name].upper() for name in rules.uppercase if isinstance(after.get(name), str)}
    after = {**after, **upper}
    if rules.reject_field is not None and rules.reject_text in str(after.get(rules.reject_field) or ""):
        raise Refusal(
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            f"The clinic does not allow this {rules.reject_field}.",
            [rules.reject_field],
        )
    return after


def check_duplicates(rules: Rules, row: Row, others: Iterable[Row], allow_save: bool) -> None:
    """The duplicate rule.  ``allow_save`` passes a rule that only alerts, never one that blocks.  Raises Refusal."""
    name = rules.duplicate_field
    if name is None or row.get(name) is None or (allow_save and not rules.duplicate_blocks):
        return
    found = [other["Id"] for other in others if other.get(name) == row[name] and other["Id"] != row["Id"]]
    if found:
        raise Refusal("DUPLICATES_DETECTED", "Use one of these records?", more={"duplicateResult": _result(found)})


def _result(ids: list[str]) -> dict[str, Any]:
    records = [{"record": {"attributes": {"type": "Contact"}, "Id": found}} for found in ids]
    return {
        "allowSave": False,
        "duplicateRule": "Standard_Contact_Duplicate_Rule",
        "matchResults": [{"entityType": "Contact", "matchRecords": records, "success": True}],
    }
