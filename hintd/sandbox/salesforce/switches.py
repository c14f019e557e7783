"""What of the org can be changed while it runs and is no option of the whole sandbox, and the org's own automation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class Switches:
    """How the org acts now.  Times in seconds unless the name says otherwise; a limit of 0 is no limit."""

    missing_fields: tuple[str, ...] = ()  # left out of the org, as where the package is not deployed
    extra_fields: tuple[str, ...] = ()  # text fields that an administrator added
    external_id_unique: bool = True
    short_pages: bool = False  # query pages of fewer rows than asked for
    slow_commit_ms: float = 0  # from a save's stamp to its being seen
    bulk_job_s: float = 0  # from the start of a bulk job to its work
    change_capture: bool = True  # off: the topic is not there
    captured_order: bool = False  # the field order of a real org instead of a shuffled one
    schema_seed: int = 1
    merge_events: bool = True
    diff_over: int = 1000  # characters of a large text from which an event carries a diff
    keepalive_s: float = 60
    idle_close_s: float = 60  # a stream with nothing pending
    retention_s: float = 72 * 3600
    retention_events: int = 0
    deliveries_per_day: int = 0
    rules: Mapping[str, Any] = field(default_factory=dict)

    def changed(self, changes: Mapping[str, Any]) -> Switches:
        """With some switches set anew.  Raises ValueError for a name or a value that cannot be."""
        known = {f.name: getattr(self, f.name) for f in fields(self)}
        clean: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"no such switch: {name}; there are {', '.join(sorted(known))}")
            clean[name] = _fitting(name, known[name], value)
        if "rules" in clean:
            read_rules(clean["rules"])
        return replace(self, **clean)

    def shown(self) -> dict[str, Any]:
        return asdict(self)


def _fitting(name: str, old: Any, new: Any) -> Any:
    if isinstance(old, bool):
        fits = isinstance(new, bool)
    elif isinstance(old, int | float):
        fits = isinstance(new, int | float) and not isinstance(new, bool) and new >= 0
    elif isinstance(old, tuple):
        fits = isinstance(new, list | tuple) and all(isinstance(item, str) for item in new)
        return tuple(new) if fits else _refuse(name, old)
    else:
        fits = isinstance(new, Mapping)
    return new if fits else _refuse(name, old)


def _refuse(name: str, old: Any) -> Any:
    raise ValueError(f"{name} cannot be that; it is {old!r} now")


@dataclass(frozen=True)
class Rules:
    """The org's automation.  A trigger sets fields when one changes; ``uppercase`` fields are rewritten on save;
    a save is refused where a field contains a text, or where another record has the same value of a field."""

    trigger_when: str | None = None
    trigger_sets: Mapping[str, Any] = field(default_factory=dict)
    uppercase: tuple[str, ...] = ()
    reject_field: str | None = None
    reject_text: str = ""
    duplicate_field: str | None = None
    duplicate_blocks: bool = True


def read_rules(raw: Mapping[str, Any]) -> Rules:
    """Read ``{"trigger": {"when", "set"}, "uppercase": [], "reject": {"field", "contains"}, "duplicate": {"field",
    "block"}}``, each optional.  Raises ValueError."""
    unknown = set(raw) - {"trigger", "uppercase", "reject", "duplicate"}
    if unknown:
        raise ValueError(f"no such rule: {', '.join(sorted(unknown))}")
    trigger, reject, duplicate = (raw.get(name) or {} for name in ("trigger", "reject", "duplicate"))
    return Rules(
        trigger.get("when"),
        trigger.get("set", {}),
        tuple(raw.get("uppercase", ())),
        reject.get("field"),
        reject.get("contains", ""),
        duplicate.get("field"),
        duplicate.get("block", True),
    )
