"""The event log as SQLite files: a folder per partition, in it a series of segments that only ever grow.

A segment is one database in WAL mode with synchronous=FULL. Each start of a writer and each failed commit begins a new
one. Its header names the segment before it and how many of that one's records are valid, so what a failed commit may
have left behind is void for every reader, today and in a replay.
"""
