"""What of the event log is kept in a SQL database: dead letters, where several hosts share them."""
