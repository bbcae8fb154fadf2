-- Anomalies on their way to a Kafka topic: written with their rows, deleted once the broker has acknowledged them.
CREATE TABLE fulgor.alert_outbox (
    outbox_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic           text NOT NULL,
    alert           text NOT NULL,
    value           jsonb NOT NULL,
    stored_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alert_outbox_topic ON fulgor.alert_outbox (topic, outbox_id);
COMMENT ON TABLE fulgor.alert_outbox IS 'Anomalies that are stored and not yet acknowledged by the topic that they go to.';
