"""Recordings: a topic kept as files that any Parquet reader opens, each message in them exactly once."""
