"""Postgres: migrations, the exactly-once writer, queries and the rows of the model registry."""
