"""Kafka behind a few small wrappers that take away the client's unsafe defaults. The only place that knows aiokafka."""
