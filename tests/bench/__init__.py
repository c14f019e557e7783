"""Measurements, each against a floor taken in the same run: ``python -m tests.bench --help``."""
