// Which patient and which Contact stand in one row: those that are linked, else those of one name, else alone.

const letters = (...parts) =>
  parts.map((p) => p ?? "").join(" ").normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
const patientName = (p) => letters(p.first_name, p.last_name) + (p.dob ?? "");
const contactName = (c) => letters(c.FirstName, c.LastName) + (c.Birthdate ?? "");

export function pairUp(patients, contacts) {
  const free = new Map(contacts.map((c) => [c.Id, c]));
  const byPatient = new Map(contacts.filter((c) => c.Hint_Patient_Id__c).map((c) => [c.Hint_Patient_Id__c, c]));
  const linkedTo = (p) => byPatient.get(p.id) ?? contacts.find((c) => c.Id === p.integration_record_id);
  const partner = new Map();
  for (const patient of patients) {
    const contact = linkedTo(patient);
    if (contact && free.delete(contact.Id)) partner.set(patient.id, contact);
  }
  const byName = Map.groupBy ? Map.groupBy(free.values(), contactName) : groupBy(free.values(), contactName);
  for (const patient of patients) {
    if (partner.has(patient.id)) continue;
    const contact = byName.get(patientName(patient))?.shift();
    if (contact) {
      partner.set(patient.id, contact);
      free.delete(contact.Id);
    }
  }
  return [
    ...patients.map((patient) => ({ key: patient.id, patient, contact: partner.get(patient.id) ?? null })),
    ...[...free.values()].map((contact) => ({ key: contact.Id, patient: null, contact })),
  ];
}

function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

export function linkState({ patient, contact }) {
  if (!contact) return patient.merged_into ? ["alone", "merged away"] : ["alone", "only in Hint"];
  if (!patient) return ["alone", "only in Salesforce"];
  const fromSalesforce = contact.Hint_Patient_Id__c === patient.id && contact.Synced_to_Hint__c === true;
  const fromHint = patient.integration_record_id === contact.Id;
  if (fromSalesforce && fromHint) return ["linked", "linked"];
  return fromSalesforce || fromHint ? ["half", "half linked"] : ["free", "not linked"];
}

export const problemOf = ({ patient, contact }) =>
  [patient?.integration_error_message, contact?.Hint_Sync_Error__c].filter(Boolean).join(" · ");

export const nameOf = ({ patient, contact }) =>
  patient?.name ?? [contact.FirstName, contact.MiddleName, contact.LastName].filter(Boolean).join(" ");

export const matches = (pair, words) => {
  const all = JSON.stringify([pair.patient, pair.contact]).toLowerCase();
  return words.every((word) => all.includes(word));
};
