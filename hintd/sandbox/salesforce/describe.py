"""The objects as the integration user sees them: which fields there are now, and describe's answer about them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

from hintd.sandbox.options import Options
from hintd.sandbox.salesforce import columns, places
from hintd.sandbox.salesforce.columns import Column
from hintd.sandbox.salesforce.refusal import Refusal, no_such_column
from hintd.sandbox.salesforce.switches import Switches

_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "double": "xsd:double",
    "address": "urn:address",
}
_FILLED_BY_ORG = frozenset({"Id", "IsDeleted", "OwnerId", "CreatedDate", "CreatedById", "LastModifiedDate"})
_REFERS_TO = {"AccountId": "Account", "ReportsToId": "Contact", "MasterRecordId": "Contact"}


class Shape:
    """One object's fields now."""

    def __init__(self, sobject: str, shown: tuple[Column, ...], *, unique: bool = True, picklists: bool = True) -> None:
        self.sobject = sobject
        self.columns = {column.name: column for column in shown}
        self.unique = unique
        self.picklists = picklists
        self._by_lower = {name.lower(): column for name, column in self.columns.items()}

    def column(self, name: str) -> Column:
        """The field of a name, whatever its case.  Raises Refusal."""
        found = self.columns.get(name) or self._by_lower.get(name.lower())
        if found is None:
            raise no_such_column(name, self.sobject)
        return found

    def external_id(self, name: str) -> Column:
        column = self.column(name)
        if not column.external_id and column.type != "id":
            raise Refusal(
                "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {name}", status=404
            )
        return column

    @cached_property
    def described(self) -> dict[str, Any]:
        """The body of ``GET /sobjects/{sobject}/describe``."""
        return {
            "name": self.sobject,
            "label": self.sobject,
            "keyPrefix": "003" if self.sobject == "Contact" else "001",
            "createable": True,
            "updateable": True,
            "deletable": True,
            "queryable": True,
            "custom": False,
            "fields": [self._field(column) for column in self.columns.values()],
        }

    def _field(self, column: Column) -> dict[str, Any]:
        refers = _REFERS_TO.get(column.name) or ("User" if column.type == "reference" else None)
        return {
            "name": column.name,
            "label": column.label,
            "type": column.type,
            "length": column.length,
            "byteLength": column.length * 3,
            "precision": 18 if column.type == "double" else 0,
            "scale": 15 if column.type == "double" else 0,
            "digits": 0,
            "nillable": not column.required and column.type not in ("boolean", "id"),
            "createable": column.writable,
            "updateable": column.writable,
            "defaultedOnCreate": column.type == "boolean" or column.name in _FILLED_BY_ORG,
            "calculated": column.name == "IsEmailBounced",
            "autoNumber": False,
            "externalId": column.external_id,
            "unique": column.external_id and self.unique,
            "caseSensitive": column.external_id,
            "idLookup": column.external_id or column.type in ("id", "email"),
            "restrictedPicklist": column.restricted,
            "dependentPicklist": column.name.endswith("StateCode"),
            "controllerName": column.name.replace("State", "Country") if column.name.endswith("StateCode") else None,
            "picklistValues": [_choice(value) for value in column.choices],
            "compoundFieldName": column.compound or None,
            "extraTypeInfo": "personname" if column.compound == "Name" else None,
            "referenceTo": [refers] if refers else [],
            "relationshipName": column.name.removesuffix("Id") if refers else None,
            "custom": column.custom,
            "encrypted": False,
            "permissionable": not column.required and column.writable,
            "soapType": _SOAP.get(column.type, "xsd:string"),
            "nameField": column.name == "Name",
            "filterable": column.type not in ("address",) and column.name != "Description",
            "sortable": column.type != "address",
            "groupable": column.type not in ("address", "double"),
            "htmlFormatted": False,
        }


def _choice(value: str) -> dict[str, Any]:
    return {"active": True, "defaultValue": False, "label": value, "validFor": None, "value": value}


@lru_cache(maxsize=64)
def _contact(picklists: bool, middle: bool, missing: tuple[str, ...], extra: tuple[str, ...], unique: bool) -> Shape:
    hidden = set(missing)
    if not picklists:
        hidden |= {column.name for column in columns.CONTACT if column.member in ("StateCode", "CountryCode")}
    if not middle:
        hidden |= {"MiddleName", "Suffix"}
    shown = [_with_places(column) for column in columns.CONTACT if column.name not in hidden]
    shown += [columns.text(name, name.removesuffix("__c").replace("_", " "), 255) for name in extra]
    return Shape("Contact", tuple(shown), unique=unique, picklists=picklists)


def _with_places(column: Column) -> Column:
    if column.member == "CountryCode":
        return replace(column, choices=tuple(sorted(places.countries())))
    return replace(column, choices=places.state_codes()) if column.member == "StateCode" else column


_ACCOUNT = Shape("Account", columns.ACCOUNT)
_ORGANIZATION = Shape("Organization", columns.ORGANIZATION)


def shape_of(sobject: str, options: Options, switches: Switches) -> Shape:
    """The object's fields as the settings stand.  Raises Refusal for an object that the org has not."""
    match sobject.lower():
        case "contact":
            return _contact(
                options.state_country_picklists,
                options.middle_names,
                switches.missing_fields,
                switches.extra_fields,
                switches.external_id_unique,
            )
        case "account":
            return _ACCOUNT
        case "organization":
            return _ORGANIZATION
        case _:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
