"""A Hint and a Salesforce to sync with that need no account: they answer as the real ones are documented to answer.

The tests, the demo and the benchmarks all talk to this package over the wire.  It shares no code with the clients that
it tests: a mistake made once must not agree with itself.
"""
