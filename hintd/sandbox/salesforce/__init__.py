"""A Salesforce org as far as a sync of Contacts sees one: OAuth, REST, Change Data Capture and the Pub/Sub API."""
