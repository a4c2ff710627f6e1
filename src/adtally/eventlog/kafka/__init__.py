"""The event log on Kafka: topics, writer, reader."""
