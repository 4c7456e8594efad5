"""`make bench`: what the funnel does per second and at what cost, measured on a real Kafka and a real Postgres."""
