"""Archives and topics: read, produce, simulate each instrument, training sets."""
