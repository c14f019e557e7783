// The synced fields as this page shows them: how each is read from either record and what a person's edit sends.

const text = (name) => ({ get: (r) => r[name], put: (r, value) => ({ [name]: value }) });
const wide = (half, span = 2) => ({ ...half, span });
const flag = (name) => ({ get: (r) => r[name], put: (r, value) => ({ [name]: value }), flag: true });
const shown = (name) => ({ get: (r) => r[name] });
const first = (...names) => ({
  get: (r) => names.map((name) => r[name]).find((value) => value != null),
  put: (r, value) => ({ [names.find((name) => name in r) ?? names[0]]: value }),
});

// The first phone of a type is "the" one; its siblings are carried along, because a write replaces them all.
const phone = (type) => ({
  get: (r) => (r.phones || []).find((p) => p.type === type)?.number,
  put: (r, value) => {
    const phones = (r.phones || []).map((p) => ({ ...p }));
    const at = phones.findIndex((p) => p.type === type);
    if (!value) return { phones: phones.filter((_, i) => i !== at) };
    if (at < 0) return { phones: [...phones, { number: value, type }] };
    phones[at] = { id: phones[at].id, number: value, type };
    return { phones };
  },
});

const street = { ...wide(text("MailingStreet"), 3), label: "Street", tall: true, lines: true };

const practitioner = {
  get: (r) => r.practitioner?.name,
  put: (r, value) => ({ practitioner: { ...(r.practitioner || {}), name: value } }),
};

// name, label, Hint's half, Salesforce's half; a half that is null takes no room.
export const FIELDS = [
  ["prefix", "Prefix", text("title"), text("Salutation")],
  ["first", "First name", text("first_name"), text("FirstName")],
  ["middle", "Middle name", text("middle_name"), text("MiddleName")],
  ["last", "Last name", text("last_name"), text("LastName")],
  ["suffix", "Suffix", text("suffix"), text("Suffix")],
  ["born", "Date of birth", text("dob"), text("Birthdate")],
  ["gender", "Gender", text("gender_identity"), first("GenderIdentity", "Hint_Gender__c")],
  ["email", "E-mail", wide(text("email")), wide(text("Email"))],
  ["mobile", "Mobile", phone("mobile"), text("MobilePhone")],
  ["home", "Home", phone("home"), text("HomePhone")],
  ["office", "Office", phone("office"), text("Phone")],
  ["line1", "Address line 1", { ...wide(text("address_line1")), tall: true }, street],
  ["line2", "Address line 2", text("address_line2"), null],
  ["city", "City", text("address_city"), text("MailingCity")],
  ["state", "State", text("address_state"), text("MailingState")],
  ["zip", "ZIP", text("address_zip"), text("MailingPostalCode")],
  ["country", "Country", text("address_country"), text("MailingCountry")],
  ["practitioner", "Practitioner →", practitioner, text("Hint_Practitioner__c")],
  ["payer", "Insurance payer →", text("health_insurance_payer_name"), text("Hint_Insurance_Payer__c")],
  ["group", "Group id →", text("health_insurance_group_id"), text("Hint_Insurance_Group_Id__c")],
  ["member", "Member id →", text("health_insurance_member_id"), text("Hint_Insurance_Member_Id__c")],
  ["contract", "Contract →", flag("patient_agreement_accepted"), flag("Hint_Member_Contract_Accepted__c")],
  ["contractAt", "Contract at →", shown("patient_agreement_accepted_at"), shown("Hint_Member_Contract_Accepted_At__c")],
  ["hipaa", "HIPAA →", flag("hipaa_authorization_accepted"), flag("Hint_HIPAA_Authorization_Accepted__c")],
  ["hipaaAt", "HIPAA at →", shown("hipaa_authorization_accepted_at"), shown("Hint_HIPAA_Authorization_Accepted_At__c")],
].map(([name, label, hint, salesforce]) => ({ name, label, hint, salesforce }));

// What an input shows of a half: a string, or for a flag whether it is set.
export const display = (half, record) => {
  const value = half.get(record);
  if (half.flag) return value === true;
  return value == null ? "" : String(value).replaceAll("\r", "");
};
