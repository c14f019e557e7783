"""hintd as ``hintd run`` runs it: the real daemon on uvloop, its configuration from the environment."""

from __future__ import annotations

import os

import uvloop

from hintd.config import load_config
from hintd.daemon import Role, run
from hintd.telemetry import set_up_logs
from tests.bench.processes import options

if __name__ == "__main__":
    config = load_config(None, os.environ)
    set_up_logs(config.log.level)
    uvloop.run(run(config, [Role(role) for role in options()["roles"]]))
