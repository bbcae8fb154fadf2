-- The engine's own tables. Forward-only: a change is a new file, never an edit of this one.
-- Coordinates (feed, segment, offset, record, item) stand on every row that accounts for a message,
-- so that the ledger is recounted from rows and needs no counters.

CREATE TABLE fulgor.stream (
    name            text PRIMARY KEY,
    row_name        text NOT NULL,
    partition_by    text NOT NULL CHECK (partition_by IN ('day', 'month')),
    registered_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fulgor.stream IS 'Instruments known to this database.';

CREATE TABLE fulgor.model (
    model_id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream              text NOT NULL REFERENCES fulgor.stream,
    name                text NOT NULL,
    hash                text NOT NULL,
    preprocessing_hash  text NOT NULL,
    classes             text[] NOT NULL,
    scores              text[] NOT NULL,
    reference           text,
    card                jsonb NOT NULL,
    status              text NOT NULL CHECK (status IN ('live', 'shadow', 'retired')),
    registered_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (stream, hash)
);
CREATE UNIQUE INDEX one_live_model ON fulgor.model (stream) WHERE status = 'live';
COMMENT ON COLUMN fulgor.model.hash IS 'Of weights, preprocessing, calibration, recurrence and precision.';
COMMENT ON COLUMN fulgor.model.reference IS 'Reference set behind the percentiles; no part of the hash.';

-- One row per group and partition: the only place that says where consumption goes on.
CREATE TABLE fulgor.feed (
    feed_id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_name      text NOT NULL,
    cluster         text NOT NULL,
    topic           text NOT NULL,
    topic_id        text NOT NULL,
    partition       integer NOT NULL,
    stream          text NOT NULL REFERENCES fulgor.stream,
    segment         integer NOT NULL DEFAULT 0,
    epoch           bigint NOT NULL DEFAULT 0,
    next_offset     bigint,
    owner           text,
    claimed_at      timestamptz,
    released_at     timestamptz,
    attempt_offset  bigint,
    attempts        integer NOT NULL DEFAULT 0,
    UNIQUE (group_name, cluster, topic, topic_id, partition)
) WITH (fillfactor = 50);
COMMENT ON COLUMN fulgor.feed.topic_id IS 'The broker''s id of the topic where it gives one: a re-created topic restarts at 0.';
COMMENT ON COLUMN fulgor.feed.epoch IS 'Raised by each claim; a writer of an earlier epoch is fenced.';
COMMENT ON COLUMN fulgor.feed.next_offset IS 'The next offset to read; NULL until the first claim has found the start.';
COMMENT ON COLUMN fulgor.feed.attempts IS 'Claims in a row that began at attempt_offset without moving it: a record that kills the process shows here.';

-- A rewind opens a new segment, so that the same offset may be accounted for again.
CREATE TABLE fulgor.segment (
    feed_id         integer NOT NULL REFERENCES fulgor.feed,
    segment         integer NOT NULL,
    first_offset    bigint NOT NULL,
    reason          text NOT NULL,
    opened_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed_id, segment)
);

-- What a group found at its first start: `--from latest` applies to these partitions only, later ones begin at
-- their beginning, whichever member meets them.
CREATE TABLE fulgor.group_start (
    group_name      text NOT NULL,
    cluster         text NOT NULL,
    stream          text NOT NULL,
    start           text NOT NULL,
    partitions      jsonb NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_name, cluster, stream)
);

CREATE TABLE fulgor.latent (
    stream          text NOT NULL,
    alert           text NOT NULL,
    model_id        integer NOT NULL,
    time            timestamptz NOT NULL,
    object          text NOT NULL,
    feed_id         integer NOT NULL,
    segment         integer NOT NULL,
    "offset"        bigint NOT NULL,
    record          integer NOT NULL,
    item            integer NOT NULL,
    records         integer NOT NULL,
    items           integer NOT NULL,
    flags           bigint NOT NULL,
    latent          vector(64),
    stamp_latent    vector,
    probabilities   real[],
    class           text,
    scores          real[],
    anomaly         real,
    unscorable      text,
    appended_at     timestamptz,
    stored_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, alert, model_id, time)
) PARTITION BY LIST (stream);
CREATE INDEX latent_object ON fulgor.latent (object, time);
CREATE INDEX latent_anomaly ON fulgor.latent (anomaly DESC NULLS LAST);
COMMENT ON TABLE fulgor.latent IS 'One row per alert and model: latents, probabilities, scores.';
COMMENT ON COLUMN fulgor.latent.time IS 'The alert''s own immutable time: the partition key.';
COMMENT ON COLUMN fulgor.latent.latent IS 'z_object: search, classifier and scores rest on it.';
COMMENT ON COLUMN fulgor.latent.stamp_latent IS 'z_stamp: of this alert''s stamps alone.';
COMMENT ON COLUMN fulgor.latent.anomaly IS 'Rank average of the scores'' percentiles in the model''s reference, in [0, 1].';
COMMENT ON COLUMN fulgor.latent.unscorable IS 'Why the scores are NULL; NULL when they are not.';
COMMENT ON COLUMN fulgor.latent.appended_at IS 'The Kafka timestamp: append time on LogAppendTime topics, else create time.';
COMMENT ON COLUMN fulgor.latent.records IS 'Records in the message; items: items in the record.';

CREATE TABLE fulgor.duplicate (
    feed_id         integer NOT NULL,
    segment         integer NOT NULL,
    "offset"        bigint NOT NULL,
    record          integer NOT NULL,
    item            integer NOT NULL,
    records         integer NOT NULL,
    items           integer NOT NULL,
    alert           text NOT NULL,
    noted_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed_id, segment, "offset", record, item)
);
COMMENT ON TABLE fulgor.duplicate IS 'An alert that was stored before with the same content and model.';

CREATE TABLE fulgor.empty (
    feed_id         integer NOT NULL,
    segment         integer NOT NULL,
    "offset"        bigint NOT NULL,
    record          integer NOT NULL,
    records         integer NOT NULL,
    PRIMARY KEY (feed_id, segment, "offset", record)
);
COMMENT ON TABLE fulgor.empty IS 'A message without records (record = -1), or a record without items.';

CREATE TABLE fulgor.skipped (
    feed_id         integer NOT NULL,
    segment         integer NOT NULL,
    first_offset    bigint NOT NULL,
    next_offset     bigint NOT NULL CHECK (next_offset > first_offset),
    cause           text NOT NULL CHECK (cause IN ('expired', 'operator', 'marker', 'aborted', 'compacted', 'unknown')),
    note            text,
    noted_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed_id, segment, first_offset)
);
COMMENT ON TABLE fulgor.skipped IS 'Offsets that no message was read from, and why.';

-- The bytes of a message are kept once, whatever the number of its dead records.
CREATE TABLE fulgor.dead_message (
    feed_id         integer NOT NULL,
    segment         integer NOT NULL,
    "offset"        bigint NOT NULL,
    value           bytea,
    key             bytea,
    headers         jsonb NOT NULL DEFAULT '[]',
    timestamp_ms    bigint,
    PRIMARY KEY (feed_id, segment, "offset")
);
CREATE TABLE fulgor.dead_letter (
    dead_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream          text NOT NULL,
    feed_id         integer NOT NULL,
    segment         integer NOT NULL,
    "offset"        bigint NOT NULL,
    record          integer NOT NULL,
    item            integer NOT NULL,
    records         integer NOT NULL,
    items           integer NOT NULL,
    stage           text NOT NULL,
    error_class     text NOT NULL,
    reason          text NOT NULL,
    attempts        integer NOT NULL DEFAULT 1,
    status          text NOT NULL DEFAULT 'dead' CHECK (status IN ('dead', 'redriven')),
    first_seen      timestamptz NOT NULL DEFAULT now(),
    last_tried      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (feed_id, segment, "offset", record, item),
    FOREIGN KEY (feed_id, segment, "offset") REFERENCES fulgor.dead_message
);
CREATE INDEX dead_letter_class ON fulgor.dead_letter (stream, error_class) WHERE status = 'dead';
COMMENT ON TABLE fulgor.dead_letter IS 'What could not become a row: where, why, how often it was tried.';

-- Operator actions on offsets, kept for ever: Kafka's own tools no longer decide where we start.
CREATE TABLE fulgor.offset_audit (
    audit_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feed_id         integer NOT NULL REFERENCES fulgor.feed,
    action          text NOT NULL,
    old_offset      bigint,
    new_offset      bigint,
    segment         integer NOT NULL,
    done_by         text NOT NULL DEFAULT current_user,
    done_at         timestamptz NOT NULL DEFAULT now(),
    note            text
);

-- The last run of each downstream job, shown by `fulgor jobs status`.
CREATE TABLE fulgor.job (
    name            text PRIMARY KEY,
    started_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    outcome         text
);

CREATE VIEW fulgor.models AS
    SELECT model_id, stream, name, status, hash, preprocessing_hash, classes, scores, reference, registered_at, card
    FROM fulgor.model;
CREATE VIEW fulgor.latents AS
    SELECT l.stream, l.alert, l.object, l.time, m.name AS model, m.status AS model_status, l.latent, l.stamp_latent,
           l.class, l.probabilities, m.classes, l.scores, m.scores AS score_names, l.anomaly, l.unscorable,
           l.flags, l.appended_at, l.stored_at, l.model_id
    FROM fulgor.latent l JOIN fulgor.model m USING (model_id);
CREATE VIEW fulgor.anomalies AS
    SELECT l.stream, l.alert, l.object, l.time, l.anomaly, l.class, l.scores, m.scores AS score_names,
           m.name AS model, m.reference, l.flags, l.model_id
    FROM fulgor.latent l JOIN fulgor.model m USING (model_id)
    WHERE m.status = 'live' AND l.anomaly IS NOT NULL;
CREATE VIEW fulgor.dead_letters AS
    SELECT d.dead_id, d.stream, f.group_name, f.topic, f.partition, d."offset", d.record, d.item, d.stage,
           d.error_class, d.reason, d.attempts, d.status, d.first_seen, d.last_tried, octet_length(b.value) AS bytes
    FROM fulgor.dead_letter d
    JOIN fulgor.dead_message b USING (feed_id, segment, "offset")
    JOIN fulgor.feed f ON f.feed_id = d.feed_id;
CREATE VIEW fulgor.ledger AS
    WITH counted (feed_id, segment, stored, duplicates, dead, empty, skipped) AS (
        SELECT feed_id, segment, count(*), 0, 0, 0, 0 FROM fulgor.latent GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, count(*), 0, 0, 0 FROM fulgor.duplicate GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, count(*), 0, 0 FROM fulgor.dead_letter
                   WHERE status = 'dead' GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, 0, count(*), 0 FROM fulgor.empty GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, 0, 0, sum(next_offset - first_offset) FROM fulgor.skipped GROUP BY 1, 2
    )
    SELECT f.stream, f.group_name, f.cluster, f.topic, f.partition, s.segment, s.segment = f.segment AS open,
           s.first_offset, CASE WHEN s.segment = f.segment THEN f.next_offset END AS next_offset,
           coalesce(sum(c.stored), 0)::bigint AS stored, coalesce(sum(c.duplicates), 0)::bigint AS duplicates,
           coalesce(sum(c.dead), 0)::bigint AS dead, coalesce(sum(c.empty), 0)::bigint AS empty,
           coalesce(sum(c.skipped), 0)::bigint AS skipped, f.topic_id, f.feed_id
    FROM fulgor.feed f
    JOIN fulgor.segment s ON s.feed_id = f.feed_id
    LEFT JOIN counted c ON c.feed_id = s.feed_id AND c.segment = s.segment
    GROUP BY f.feed_id, s.feed_id, s.segment;
COMMENT ON VIEW fulgor.ledger IS 'Per partition: what became of its messages. fulgor ledger --check proves that it closes.';
