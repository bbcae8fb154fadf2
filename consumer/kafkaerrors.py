"""What librdkafka's errors mean: a call is told little, the error callback more, and neither what to do."""

from __future__ import annotations

from threading import Lock

from confluent_kafka import KafkaError

__all__ = ["Causes", "hint"]

# No use in asking again.
_HOPELESS = {KafkaError._AUTHENTICATION, KafkaError._SSL}
# Said of every connection that was closed without a word.
_VAGUE = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT}
_ADVICE = {
    KafkaError._AUTHENTICATION: "; check the user and FULGOR_KAFKA_SASL_PASSWORD",
    KafkaError._RESOLVE: "; unknown host: check --bootstrap",
    KafkaError._SSL: "; check ssl.ca.location and security.protocol",
    KafkaError._TRANSPORT: "; nothing answers there: check --bootstrap, and security.protocol if the port speaks TLS",
    KafkaError._ALL_BROKERS_DOWN: "; nothing answers there: check --bootstrap",
}


class Causes:
    """Remembers what the error callback of a client was told last; called from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: KafkaError | None = None

    def remember(self, error: KafkaError) -> None:
        """Take an error from the callback."""
        with self._lock:
            # _ALL_BROKERS_DOWN follows every cause and says less.
            if error.code() != KafkaError._ALL_BROKERS_DOWN or self._last is None:
                self._last = error

    def explain(self, error: KafkaError) -> str:
        """Return an error with the cause that librdkafka gives only to its error callback."""
        cause = self._cause()
        text = str(error.str())
        if cause is not None and cause.code() != error.code():
            text = f"{cause.str()} ({text})"
        if "mechanism handshake failed" in text:  # not the user's name or password: they were not asked for yet
            return text + "; check sasl.mechanism, and security.protocol: the port may know no users"
        code = cause.code() if cause is not None else error.code()
        return text + _ADVICE.get(code, "")

    def are_vague(self, error: KafkaError) -> bool:
        """Tell whether nothing more is known of an error than that the connection was closed."""
        return (self._cause() or error).code() in _VAGUE

    def are_hopeless(self) -> bool:
        """Tell whether it is no use to ask again."""
        cause = self._cause()
        return cause is not None and cause.code() in _HOPELESS

    def _cause(self) -> KafkaError | None:
        with self._lock:
            return self._last


def hint(text: str) -> str:
    """Return what to do about settings that librdkafka refuses, '' where its own words say it."""
    if "GSSAPI" in text:  # the mechanism where none is set
        return "; set sasl.mechanism, such as SCRAM-SHA-512"
    if "sasl.password must be set" in text:
        return ": the password as FULGOR_KAFKA_SASL_PASSWORD or in the config file"
    return ""
