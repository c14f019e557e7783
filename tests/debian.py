"""Installing one of Debian's packages for the tests, without letting it start a service."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLICY = Path("/usr/sbin/policy-rc.d")


def install_package(name: str) -> bool:
    """False where that is not ours to do: not root, or no apt-get.  A failing apt-get prints its own reason."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print(f"installing Debian's package {name} for the tests", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", name]
    with _no_services_started():
        if subprocess.run(install, env=environment, check=False).returncode == 0:
            return True
        subprocess.run(["apt-get", "update", "-q"], env=environment, check=False)
        return subprocess.run(install, env=environment, check=False).returncode == 0


@contextmanager
def _no_services_started() -> Iterator[None]:
    """``policy-rc.d`` is how Debian is told so; one that stands already is left alone."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
