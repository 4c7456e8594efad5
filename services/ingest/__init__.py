"""Takes events and outcomes in over HTTP and stores them in Kafka before it says so."""
