"""The fields of the objects that the org has, as data: what describe, the save rules and the event schema go by."""

from __future__ import annotations

from dataclasses import dataclass

MAN, WOMAN = "Male", "Female"


@dataclass(frozen=True, slots=True)
class Column:
    """One field.  ``doc`` is its kind in the event schema, empty where change events leave it out; ``compound`` the
    compound field (Name, MailingAddress) that it is a member of, as ``member``."""

    name: str
    label: str
    type: str
    doc: str
    length: int = 0
    writable: bool = True
    required: bool = False
    choices: tuple[str, ...] = ()
    restricted: bool = False
    external_id: bool = False
    compound: str = ""
    member: str = ""

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")


def text(name: str, label: str, length: int, doc: str = "Data:Text") -> Column:
    return Column(name, label, "string", doc, length)


def phone(name: str, label: str) -> Column:
    return Column(name, label, "phone", "Data:Phone", 40)


def flag(name: str, label: str) -> Column:
    return Column(name, label, "boolean", "Data:Boolean")


def picklist(name: str, label: str, choices: tuple[str, ...], restricted: bool = False) -> Column:
    return Column(name, label, "picklist", "Data:DynamicEnum", 255, choices=choices, restricted=restricted)


def moment(name: str, label: str, doc: str = "Data:DateTime", writable: bool = True) -> Column:
    return Column(name, label, "datetime", doc, writable=writable)


def reference(name: str, label: str, doc: str = "ForeignKey:EntityId", writable: bool = True) -> Column:
    return Column(name, label, "reference", doc, 18, writable=writable)


def _name_part(name: str, label: str, length: int, required: bool = False) -> Column:
    return Column(name, label, "string", "Data:Text", length, required=required, compound="Name", member=name)


def _address(prefix: str) -> tuple[Column, ...]:
    compound = f"{prefix}Address"

    def part(member: str, label: str, kind: str, length: int) -> Column:
        name, doc = prefix + member, "Data:Double" if kind == "double" else "Data:Text"
        return Column(name, f"{prefix} {label}", kind, doc, length, compound=compound, member=member)

    return (
        part("Street", "Street", "textarea", 255),
        part("City", "City", "string", 40),
        part("State", "State/Province", "string", 80),
        part("PostalCode", "Zip/Postal Code", "string", 20),
        part("Country", "Country", "string", 80),
        part("StateCode", "State/Province Code", "picklist", 10),
        part("CountryCode", "Country Code", "picklist", 10),
        part("Latitude", "Latitude", "double", 0),
        part("Longitude", "Longitude", "double", 0),
        part("GeocodeAccuracy", "Geocode Accuracy", "picklist", 40),
    )


_SALUTATIONS = ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx.")

CONTACT: tuple[Column, ...] = (
    Column("Id", "Contact ID", "id", "", 18, writable=False),
    Column("IsDeleted", "Deleted", "boolean", "", writable=False),
    reference("MasterRecordId", "Master Record ID", "", writable=False),
    reference("AccountId", "Account ID"),
    Column("IsPersonAccount", "Is Person Account", "boolean", "Data:Boolean", writable=False),
    _name_part("LastName", "Last Name", 80, required=True),
    _name_part("FirstName", "First Name", 40),
    Column(
        "Salutation",
        "Salutation",
        "picklist",
        "Data:Text",
        40,
        choices=_SALUTATIONS,
        compound="Name",
        member="Salutation",
    ),
    _name_part("MiddleName", "Middle Name", 40),
    _name_part("Suffix", "Suffix", 40),
    Column("Name", "Full Name", "string", "", 203, writable=False),
    *_address("Other"),
    Column("OtherAddress", "Other Address", "address", "", writable=False),
    *_address("Mailing"),
    Column("MailingAddress", "Mailing Address", "address", "", writable=False),
    phone("Phone", "Business Phone"),
    phone("Fax", "Business Fax"),
    phone("MobilePhone", "Mobile Phone"),
    phone("HomePhone", "Home Phone"),
    phone("OtherPhone", "Other Phone"),
    phone("AssistantPhone", "Asst. Phone"),
    reference("ReportsToId", "Reports To ID"),
    Column("Email", "Email", "email", "Data:Email", 80),
    text("Title", "Title", 128),
    text("Department", "Department", 80),
    text("AssistantName", "Assistant's Name", 40),
    picklist("LeadSource", "Lead Source", ("Web", "Phone Inquiry", "Partner Referral", "Other")),
    Column("Birthdate", "Birthdate", "date", "Data:DateOnly"),
    Column("Description", "Contact Description", "textarea", "Data:StringPlusClob", 32_000),
    reference("OwnerId", "Owner ID"),
    flag("HasOptedOutOfEmail", "Email Opt Out"),
    flag("HasOptedOutOfFax", "Fax Opt Out"),
    flag("DoNotCall", "Do Not Call"),
    moment("CreatedDate", "Created Date", "CreatedDate:DateTime", writable=False),
    reference("CreatedById", "Created By ID", writable=False),
    moment("LastModifiedDate", "Last Modified Date", writable=False),
    reference("LastModifiedById", "Last Modified By ID", writable=False),
    moment("SystemModstamp", "System Modstamp", "", writable=False),
    Column("IsEmailBounced", "Is Email Bounced", "boolean", "", writable=False),
    picklist("Pronouns", "Pronouns", ("He/Him", "She/Her", "They/Them"), restricted=True),
    picklist("GenderIdentity", "Gender Identity", (MAN, WOMAN, "Nonbinary", "Not Listed"), restricted=True),
    flag("Synced_to_Hint__c", "Synced to Hint"),
    Column("Hint_Patient_Id__c", "Hint Patient Id", "string", "Data:Text", 64, external_id=True),
    moment("Hint_Last_Synced_At__c", "Hint Last Synced At"),
    text("Hint_Sync_Error__c", "Hint Sync Error", 255),
    text("Last_Batch_Sync_Id__c", "Last Batch Sync Id", 64),
    text("Last_Batch_Sync_Result__c", "Last Batch Sync Result", 255),
    text("Hint_Gender__c", "Hint Gender", 255),
    text("Hint_Practitioner__c", "Hint Practitioner", 255),
    text("Hint_Insurance_Payer__c", "Hint Insurance Payer", 255),
    text("Hint_Insurance_Group_Id__c", "Hint Insurance Group Id", 255),
    text("Hint_Insurance_Member_Id__c", "Hint Insurance Member Id", 255),
    flag("Hint_Member_Contract_Accepted__c", "Hint Member Contract Accepted"),
    moment("Hint_Member_Contract_Accepted_At__c", "Hint Member Contract Accepted At"),
    flag("Hint_HIPAA_Authorization_Accepted__c", "Hint HIPAA Authorization Accepted"),
    moment("Hint_HIPAA_Authorization_Accepted_At__c", "Hint HIPAA Authorization Accepted At"),
)

ACCOUNT: tuple[Column, ...] = (
    Column("Id", "Account ID", "id", "", 18, writable=False),
    Column("IsDeleted", "Deleted", "boolean", "", writable=False),
    reference("MasterRecordId", "Master Record ID", "", writable=False),
    Column("Name", "Account Name", "string", "", 255, required=True),
    Column("Type", "Account Type", "picklist", "", 255, choices=("Customer", "Prospect", "Other")),
    Column("Phone", "Account Phone", "phone", "", 40),
    moment("CreatedDate", "Created Date", "", writable=False),
    reference("CreatedById", "Created By ID", "", writable=False),
    moment("LastModifiedDate", "Last Modified Date", "", writable=False),
    reference("LastModifiedById", "Last Modified By ID", "", writable=False),
    moment("SystemModstamp", "System Modstamp", "", writable=False),
)

ORGANIZATION: tuple[Column, ...] = (
    Column("Id", "Organization ID", "id", "", 18, writable=False),
    Column("Name", "Name", "string", "", 80, writable=False),
    Column("OrganizationType", "Edition", "picklist", "", 40, writable=False),
    Column("InstanceName", "Instance Name", "string", "", 5, writable=False),
    Column("IsSandbox", "Is Sandbox", "boolean", "", writable=False),
)

# In the event schema, but hidden from the integration user's describe: a reader must pass over what it does not know.
HIDDEN: tuple[Column, ...] = (
    moment("LastCURequestDate", "Last Stay-in-Touch Request Date"),
    moment("LastCUUpdateDate", "Last Stay-in-Touch Save Date"),
    text("EmailBouncedReason", "Email Bounced Reason", 255),
    moment("EmailBouncedDate", "Email Bounced Date"),
    text("Jigsaw", "Data.com Key", 20),
    text("JigsawContactId", "Jigsaw Contact ID", 20, "ExternalForeignKey:ExternalId"),
    text("CleanStatus", "Clean Status", 40, "Data:StaticEnum"),
    reference("IndividualId", "Individual ID"),
    text("ContactSource", "Creation Source", 40, "Data:StaticEnum"),
    text("BuyerAttributes", "Buyer Attributes", 255, "Data:MultiEnum"),
    text("Level__c", "Level", 255, "Data:DynamicEnum"),
    text("Languages__c", "Languages", 100),
    text("GUID__c", "GUID", 64),
)
