-- What a score means: the reference behind a row's percentile, why a score is NULL, and what people judged.

ALTER TABLE fulgor.latent ADD COLUMN reference text;
COMMENT ON COLUMN fulgor.latent.reference IS 'Id of the reference set behind the anomaly of this row: it may be refitted, the model staying what it is. NULL in rows of before version 6 and where there is no anomaly.';

CREATE OR REPLACE VIEW fulgor.latents AS
    SELECT l.stream, l.alert, l.object, l.time, m.name AS model, m.status AS model_status, l.latent, l.stamp_latent,
           l.class, l.probabilities, m.classes, l.scores, m.scores AS score_names, l.anomaly, l.unscorable,
           l.flags, l.appended_at, l.stored_at, l.model_id, l.reference
    FROM fulgor.latent l JOIN fulgor.model m USING (model_id);
CREATE OR REPLACE VIEW fulgor.anomalies AS
    SELECT l.stream, l.alert, l.object, l.time, l.anomaly, l.class, l.scores, m.scores AS score_names,
           m.name AS model, coalesce(l.reference, m.reference) AS reference, l.flags, l.model_id
    FROM fulgor.latent l JOIN fulgor.model m USING (model_id)
    WHERE m.status = 'live' AND l.anomaly IS NOT NULL;

-- One row per score: a score that could not be had is NULL, with the reason.
CREATE VIEW fulgor.scores AS
    SELECT l.stream, l.alert, l.object, l.time, m.name AS model, m.status AS model_status, s.name AS score, s.value,
           CASE WHEN s.value IS NULL
                THEN coalesce(l.unscorable, 'it needs ' || (m.card -> 'score_needs' ->> s.name),
                              'it could not be computed for this input')
           END AS reason, l.model_id
    FROM fulgor.latent l
    JOIN fulgor.model m USING (model_id)
    CROSS JOIN LATERAL unnest(m.scores, coalesce(l.scores, array_fill(NULL::real, ARRAY[cardinality(m.scores)])))
        AS s (name, value);

CREATE TABLE fulgor.judgement (
    judgement_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream          text NOT NULL REFERENCES fulgor.stream,
    alert           text NOT NULL,
    object          text NOT NULL,
    interesting     boolean NOT NULL,
    judged_by       text NOT NULL CHECK (judged_by <> ''),
    judged_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    note            text
);
CREATE INDEX judgement_alert ON fulgor.judgement (stream, alert, judgement_id DESC);
COMMENT ON TABLE fulgor.judgement IS 'Whether somebody found an alert interesting. Nothing is overwritten: who changes their mind adds a row.';
CREATE VIEW fulgor.judgements AS
    SELECT DISTINCT ON (stream, alert) stream, alert, object, interesting, judged_by, judged_at, note
    FROM fulgor.judgement ORDER BY stream, alert, judgement_id DESC;
COMMENT ON VIEW fulgor.judgements IS 'The latest judgement of each alert.';
