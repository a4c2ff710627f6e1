"""The lake: every event, before deduplication, as Parquet by event hour."""
