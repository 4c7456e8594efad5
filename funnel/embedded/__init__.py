"""A real Apache Kafka and a real PostgreSQL as child processes, and the supervisor that owns them and the services.

Nothing needs to be installed: Java and PostgreSQL come inside Python wheels, Kafka's jars from Maven Central.
"""
