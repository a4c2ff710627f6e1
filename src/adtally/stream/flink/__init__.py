"""The stream as a job of Flink SQL: submitted and watched from here, computed there."""
