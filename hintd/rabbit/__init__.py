"""RabbitMQ as the bus: the topology, the one connection that is held open, and the consumers that outlive it."""
