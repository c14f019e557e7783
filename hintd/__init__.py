"""hintd: two-way sync between Hint Health patients and Salesforce Contacts."""
