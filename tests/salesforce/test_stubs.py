"""The committed gRPC stubs are what their proto says, and the two copies live in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from hintd.salesforce import pubsub_api_pb2 as clients
from hintd.sandbox import pubsub_api_pb2 as sandboxes
from tests.salesforce.generate_stubs import PACKAGES, PROTO, STUBS, folder, generate


@pytest.mark.parametrize("package", PACKAGES)
def test_generating_the_stubs_again_changes_nothing(package: str, tmp_path: Path) -> None:
    generate(package, tmp_path)

    assert {name: (tmp_path / name).read_text() for name in STUBS} == {
        name: (folder(package) / name).read_text() for name in STUBS
    }


def test_client_and_sandbox_speak_the_same_proto() -> None:
    first, second = ((folder(package) / PROTO).read_text() for package in PACKAGES)

    assert first == second


def test_both_copies_work_in_one_process() -> None:
    sent = clients.FetchRequest(topic_name="/data/ContactChangeEvent", num_requested=100)

    assert sandboxes.FetchRequest.FromString(sent.SerializeToString()).num_requested == 100


def test_the_stubs_name_the_service_as_the_wire_does() -> None:
    assert clients.DESCRIPTOR.services_by_name["PubSub"].full_name == "eventbus.v1.PubSub"
