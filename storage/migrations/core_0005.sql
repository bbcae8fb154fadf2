-- Models that change without a stop: rows beside the live model's, who changed what, their files, and drift.

-- A new model scores nothing until it is told to: before version 5 'shadow' only meant 'not live'.
ALTER TABLE fulgor.model DROP CONSTRAINT model_status_check;
UPDATE fulgor.model SET status = 'candidate' WHERE status = 'shadow';
ALTER TABLE fulgor.model ADD CONSTRAINT model_status_check
    CHECK (status IN ('candidate', 'shadow', 'live', 'retired'));
COMMENT ON COLUMN fulgor.model.status IS 'candidate: known, scores nothing; shadow: scores beside the live model; live: its rows account for the messages; retired.';

CREATE TABLE fulgor.model_event (
    event_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id        integer NOT NULL REFERENCES fulgor.model ON DELETE CASCADE,
    stream          text NOT NULL,
    action          text NOT NULL CHECK (action IN ('add', 'shadow', 'retire', 'promote', 'rollback')),
    status          text NOT NULL,
    done_by         text NOT NULL DEFAULT current_user,
    done_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    note            text
);
CREATE INDEX model_event_stream ON fulgor.model_event (stream, event_id);
COMMENT ON TABLE fulgor.model_event IS 'Every change of a model''s status: what became of which model, who did it and when. Kept for ever.';
INSERT INTO fulgor.model_event (model_id, stream, action, status, done_at)
    SELECT model_id, stream, 'add', status, registered_at FROM fulgor.model ORDER BY model_id;

CREATE TABLE fulgor.model_file (
    model_id        integer NOT NULL REFERENCES fulgor.model ON DELETE CASCADE,
    name            text NOT NULL,
    content         bytea NOT NULL,
    PRIMARY KEY (model_id, name)
);
ALTER TABLE fulgor.model_file ALTER COLUMN content SET STORAGE EXTERNAL;
COMMENT ON TABLE fulgor.model_file IS 'The files of a model as they were added: running consumers on any machine load them from here.';

ALTER TABLE fulgor.latent ADD COLUMN shadow boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN fulgor.latent.shadow IS 'Written beside the row that accounts for the message: by a model that was not live for the consumer at that moment. The ledger does not count it.';

CREATE OR REPLACE VIEW fulgor.ledger AS
    WITH counted (feed_id, segment, stored, duplicates, dead, empty, skipped, sealed, shadow) AS (
        SELECT feed_id, segment, count(*) FILTER (WHERE NOT shadow), 0, 0, 0, 0, 0, count(*) FILTER (WHERE shadow)
                    FROM fulgor.latent GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, count(*), 0, 0, 0, 0, 0 FROM fulgor.duplicate GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, count(*), 0, 0, 0, 0 FROM fulgor.dead_letter
                   WHERE status = 'dead' GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, 0, count(*), 0, 0, 0 FROM fulgor.empty GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, 0, 0, sum(next_offset - first_offset), 0, 0
                    FROM fulgor.skipped GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, 0, 0, 0, sum(stored + duplicates + empty), 0
                    FROM fulgor.sealed GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, 0, 0, 0, count(*), 0 FROM fulgor.sealed_item GROUP BY 1, 2
    )
    SELECT f.stream, f.group_name, f.cluster, f.topic, f.partition, s.segment, s.segment = f.segment AS open,
           s.first_offset, CASE WHEN s.segment = f.segment THEN f.next_offset ELSE s.end_offset END AS next_offset,
           coalesce(sum(c.stored), 0)::bigint AS stored, coalesce(sum(c.duplicates), 0)::bigint AS duplicates,
           coalesce(sum(c.dead), 0)::bigint AS dead, coalesce(sum(c.empty), 0)::bigint AS empty,
           coalesce(sum(c.skipped), 0)::bigint AS skipped, f.topic_id, f.feed_id,
           coalesce(sum(c.sealed), 0)::bigint AS sealed, coalesce(sum(c.shadow), 0)::bigint AS shadow
    FROM fulgor.feed f
    JOIN fulgor.segment s ON s.feed_id = f.feed_id
    LEFT JOIN counted c ON c.feed_id = s.feed_id AND c.segment = s.segment
    GROUP BY f.feed_id, s.feed_id, s.segment;

-- Which rows are stale is one query: rows of another model than the live one, of alerts that the live one has not scored.
CREATE VIEW fulgor.stale AS
    SELECT l.stream, l.alert, l.object, l.time, l.model_id, m.name AS model, m.hash,
           CASE WHEN m.preprocessing_hash = v.preprocessing_hash THEN 'model' ELSE 'preparation' END AS reason
    FROM fulgor.latent l
    JOIN fulgor.model m ON m.model_id = l.model_id
    JOIN fulgor.model v ON v.stream = l.stream AND v.status = 'live'
    WHERE m.model_id <> v.model_id AND NOT EXISTS (
        SELECT 1 FROM fulgor.latent n
        WHERE n.stream = l.stream AND n.alert = l.alert AND n.time = l.time AND n.model_id = v.model_id);
COMMENT ON VIEW fulgor.stale IS 'Rows of alerts that have none of the live model yet: fulgor replay rescore makes them.';

CREATE TABLE fulgor.night_drift (
    stream          text NOT NULL,
    model_id        integer NOT NULL REFERENCES fulgor.model ON DELETE CASCADE,
    night           date NOT NULL,
    alerts          bigint NOT NULL,
    sampled         integer NOT NULL,
    reference       integer NOT NULL,
    distance        double precision NOT NULL,
    level           double precision NOT NULL,
    p_value         double precision NOT NULL,
    beyond          double precision,
    computed_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, model_id, night)
);
COMMENT ON TABLE fulgor.night_drift IS 'How far a night''s latents lie from the sample that was kept with the model.';
COMMENT ON COLUMN fulgor.night_drift.distance IS 'Energy distance (Szekely and Rizzo) between the night''s latents and the reference sample, in units of the latent.';
COMMENT ON COLUMN fulgor.night_drift.level IS '95th percentile of that distance when both are shuffled: what chance alone gives.';
COMMENT ON COLUMN fulgor.night_drift.beyond IS 'Share of the night''s scored alerts beyond the 99th percentile of the reference''s anomaly: 0.01 where nothing has changed.';
CREATE VIEW fulgor.drift AS
    SELECT d.stream, d.night, m.name AS model, m.hash, m.status AS model_status, d.alerts, d.sampled, d.reference,
           d.distance, d.level, d.p_value, d.beyond, d.distance > d.level AS drifted, d.computed_at, d.model_id
    FROM fulgor.night_drift d JOIN fulgor.model m USING (model_id);
