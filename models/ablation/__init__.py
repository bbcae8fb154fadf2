"""What each part of the ZTF network is worth: one factor changed at a time, measured in one way.

======================  ============================================================================
:mod:`configurations`   the base, and every configuration that differs from it in one factor
:mod:`run`              one configuration and seed: trained, tuned and measured
:mod:`queue`            what is left to run; a queue that was killed goes on
:mod:`tables`           Markdown tables, simulated and real alerts apart
======================  ============================================================================
"""
