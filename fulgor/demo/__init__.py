"""The demo: a simulated night through the whole pipeline, on this machine alone.

::

    plan -> simulation (processes) -> traffic (topic) -> run (the real consumer) -> results -> picture
"""
