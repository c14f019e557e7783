from __future__ import annotations

import pytest

from hintd.ports import Queue
from hintd.rabbit.topology import DELAY_STEPS_MS, Topology, delay_step_ms, split_url


@pytest.mark.parametrize(
    ("wanted_s", "step_ms"),
    [
        pytest.param(0.0, 200, id="none at all"),
        pytest.param(0.1, 200, id="less than the shortest"),
        pytest.param(0.2, 200, id="the shortest"),
        pytest.param(0.99, 200, id="just under a step"),
        pytest.param(1.0, 1_000, id="a step"),
        pytest.param(29.9, 5_000, id="between"),
        pytest.param(30.0, 30_000, id="the longest"),
        pytest.param(3600.0, 30_000, id="longer than the longest"),
    ],
)
def test_a_delay_is_the_longest_step_that_is_no_longer_than_wanted(wanted_s: float, step_ms: int) -> None:
    assert delay_step_ms(wanted_s) == step_ms


def test_every_queue_has_a_delay_queue_per_step_that_leads_back_to_it() -> None:
    topology = Topology()
    shapes = {shape.name: shape.arguments for shape in topology.queues()}
    for target in (*(topology.queue(queue) for queue in Queue), topology.dead):
        for step_ms in DELAY_STEPS_MS:
            arguments = shapes[topology.delay(target, step_ms)]
            assert arguments["x-message-ttl"] == step_ms
            assert arguments["x-dead-letter-routing-key"] == target


def test_no_queue_loses_a_message_on_its_way_to_another() -> None:
    shapes = [shape for shape in Topology().queues() if "x-dead-letter-exchange" in shape.arguments]
    assert {shape.arguments["x-dead-letter-strategy"] for shape in shapes} == {"at-least-once"}
    assert {shape.arguments["x-overflow"] for shape in shapes} == {"reject-publish"}


def test_every_queue_is_a_quorum_queue_with_its_limit_said() -> None:
    topology = Topology()
    shapes = {shape.name: shape.arguments for shape in topology.queues()}
    assert {arguments["x-queue-type"] for arguments in shapes.values()} == {"quorum"}
    consumed = (*(topology.queue(queue) for queue in Queue), topology.dead)
    assert all("x-delivery-limit" in shapes[name] for name in consumed)


def test_the_names_are_the_documented_ones() -> None:
    topology = Topology()
    assert topology.queue(Queue.CHANGES) == "hintd.changes"
    assert topology.dead == "hintd.dead"
    assert topology.delay("hintd.changes", 200) == "hintd.delay.changes.200"
    assert topology.control_exchange == "hintd.control"


def test_a_prefix_in_the_url_replaces_hintd_and_is_kept_from_the_broker() -> None:
    address, prefix = split_url("amqp://guest:guest@localhost/clinic?prefix=north&heartbeat=5")
    assert str(address) == "amqp://guest:guest@localhost/clinic?heartbeat=5"
    assert Topology(prefix).queue(Queue.CONTROL) == "north.control"
    assert split_url("amqp://localhost/")[1] == "hintd"
