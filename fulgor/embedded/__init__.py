"""A broker and a Postgres for a machine that has none."""
