"""The edge's own disk in front of a log that is far away (design section 7).

What the log does not acknowledge in time is made durable here, and moved to the log when it takes appends again. A
folder for each start of an edge, named by its `edge_id`, holds segments of `eventlog/sqlite`; who holds the lock of one
is alive. A start adopts the folders of those that died: it moves what they hold to the log, and closes their log there.
"""
