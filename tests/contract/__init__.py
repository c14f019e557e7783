"""The same promises kept by every implementation of a port."""
