"""Hint as its published contract describes it, with what is known to bite."""
