-- Where segments end, what was dropped with old nights, and orders to pass over offsets not read yet.

ALTER TABLE fulgor.segment ADD COLUMN end_offset bigint;
COMMENT ON COLUMN fulgor.segment.end_offset IS 'The next offset when a rewind closed it; NULL while it is open (its end is the feed''s) and for those closed by hand before version 2.';

-- Counts of dropped rows, a row per stretch of messages without a gap.
CREATE TABLE fulgor.sealed (
    feed_id         integer NOT NULL,
    segment         integer NOT NULL,
    first_offset    bigint NOT NULL,
    next_offset     bigint NOT NULL CHECK (next_offset > first_offset),
    night           date NOT NULL,
    stored          bigint NOT NULL,
    duplicates      bigint NOT NULL,
    empty           bigint NOT NULL,
    sealed_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed_id, segment, first_offset),
    CHECK (stored + duplicates + empty >= next_offset - first_offset)
);
COMMENT ON TABLE fulgor.sealed IS 'Messages whose rows were dropped with their night: fulgor db prune.';
COMMENT ON COLUMN fulgor.sealed.night IS 'First day of the dropped partition.';

-- No primary key: should the rows have been doubled, the ledger must go on saying so.
CREATE TABLE fulgor.sealed_item (
    feed_id         integer NOT NULL,
    segment         integer NOT NULL,
    "offset"        bigint NOT NULL,
    record          integer NOT NULL,
    item            integer NOT NULL,
    records         integer NOT NULL,
    items           integer NOT NULL,
    night           date NOT NULL
);
CREATE INDEX sealed_item_place ON fulgor.sealed_item (feed_id, segment, "offset");
COMMENT ON TABLE fulgor.sealed_item IS 'Dropped rows of messages of which other parts are still here: another night''s, or a dead letter.';

-- An operator's order, obeyed by the consumer that comes there; a rewind opens a segment, for which it counts no more.
CREATE TABLE fulgor.skip_order (
    feed_id         integer NOT NULL REFERENCES fulgor.feed,
    segment         integer NOT NULL,
    first_offset    bigint NOT NULL,
    next_offset     bigint NOT NULL CHECK (next_offset > first_offset),
    note            text,
    ordered_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed_id, segment, first_offset)
);
COMMENT ON TABLE fulgor.skip_order IS 'Offsets ahead of the stored one that shall be passed over: fulgor offsets skip.';

CREATE OR REPLACE VIEW fulgor.ledger AS
    WITH counted (feed_id, segment, stored, duplicates, dead, empty, skipped, sealed) AS (
        SELECT feed_id, segment, count(*), 0, 0, 0, 0, 0 FROM fulgor.latent GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, count(*), 0, 0, 0, 0 FROM fulgor.duplicate GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, count(*), 0, 0, 0 FROM fulgor.dead_letter
                   WHERE status = 'dead' GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, 0, count(*), 0, 0 FROM fulgor.empty GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, 0, 0, sum(next_offset - first_offset), 0
                    FROM fulgor.skipped GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, 0, 0, 0, sum(stored + duplicates + empty)
                    FROM fulgor.sealed GROUP BY 1, 2
        UNION ALL SELECT feed_id, segment, 0, 0, 0, 0, 0, count(*) FROM fulgor.sealed_item GROUP BY 1, 2
    )
    SELECT f.stream, f.group_name, f.cluster, f.topic, f.partition, s.segment, s.segment = f.segment AS open,
           s.first_offset, CASE WHEN s.segment = f.segment THEN f.next_offset ELSE s.end_offset END AS next_offset,
           coalesce(sum(c.stored), 0)::bigint AS stored, coalesce(sum(c.duplicates), 0)::bigint AS duplicates,
           coalesce(sum(c.dead), 0)::bigint AS dead, coalesce(sum(c.empty), 0)::bigint AS empty,
           coalesce(sum(c.skipped), 0)::bigint AS skipped, f.topic_id, f.feed_id,
           coalesce(sum(c.sealed), 0)::bigint AS sealed
    FROM fulgor.feed f
    JOIN fulgor.segment s ON s.feed_id = f.feed_id
    LEFT JOIN counted c ON c.feed_id = s.feed_id AND c.segment = s.segment
    GROUP BY f.feed_id, s.feed_id, s.segment;
