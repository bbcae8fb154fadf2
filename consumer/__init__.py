"""The engine: sources, micro-batches, the exactly-once loop, metrics and settings.

It knows no instrument. What it needs of one is the protocol in :mod:`fulgor.consumer.stream`.
"""
