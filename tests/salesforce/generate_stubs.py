"""Writes the stubs of ``pubsub_api.proto`` for client and sandbox: ``python -m tests.salesforce.generate_stubs``.

The proto is compiled under its bare name in both places, because one process has one descriptor pool: the same file
twice is fine, the same messages under two file names are refused.  A bare name makes protoc write a bare import, so
that one line is set right here.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parents[2]
PACKAGES = ("hintd.salesforce", "hintd.sandbox")
PROTO = "pubsub_api.proto"
STUBS = ("pubsub_api_pb2.py", "pubsub_api_pb2_grpc.py")


def folder(package: str) -> Path:
    return ROOT.joinpath(*package.split("."))


def generate(package: str, into: Path) -> None:
    """Compile the package's proto; the files named in ``STUBS`` are written to ``into``."""
    well_known = files("grpc_tools") / "_proto"
    where = [f"-I{folder(package)}", f"-I{well_known}", f"--python_out={into}", f"--grpc_python_out={into}"]
    if protoc.main(["protoc", *where, PROTO]) != 0:
        raise SystemExit(f"protoc refused {folder(package) / PROTO}")
    grpc_stub = into / STUBS[1]
    text = grpc_stub.read_text()
    grpc_stub.write_text(text.replace("\nimport pubsub_api_pb2 as", f"\nfrom {package} import pubsub_api_pb2 as"))


if __name__ == "__main__":
    for each in PACKAGES:
        generate(each, folder(each))
