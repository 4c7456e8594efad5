"""What tests stand on besides the product: waiting, an independent Kafka client, databases made from a template."""

from tests.support.eventually import eventually

__all__ = ["eventually"]
