"""``python -m hintd``, the same as ``hintd``."""

from hintd.cli import main

main()
