-- Which earlier alerts of its object entered a row, and rows whose object's earlier alerts came after them.

ALTER TABLE fulgor.latent ADD COLUMN history_times timestamptz[];
ALTER TABLE fulgor.latent ADD COLUMN history text[];
ALTER TABLE fulgor.latent ADD COLUMN revised_at timestamptz;
COMMENT ON COLUMN fulgor.latent.history_times IS 'Times of the earlier alerts that the packet names within the model''s sequence, the oldest first. NULL for a model that takes none.';
COMMENT ON COLUMN fulgor.latent.history IS 'The alerts at those times whose stamp latents entered this row; NULL in the place of one that was not stored by this model.';
COMMENT ON COLUMN fulgor.latent.revised_at IS 'When the row was computed again, with history that had come late; NULL if never.';

-- Each transaction that stores rows with a history leaves a line per row here, visible at the same moment as the row.
-- Whoever looks at the later line of two sees both rows, however their transactions overlapped: nothing is missed, and
-- neither writer waits for the other.
CREATE TABLE fulgor.arrival (
    arrival_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream          text NOT NULL,
    model_id        integer NOT NULL,
    object          text NOT NULL,
    time            timestamptz NOT NULL
);
COMMENT ON TABLE fulgor.arrival IS 'Stored rows that the job late-history has not compared yet with the rows around them.';

CREATE TABLE fulgor.rescore_queue (
    stream          text NOT NULL,
    alert           text NOT NULL,
    time            timestamptz NOT NULL,
    model_id        integer NOT NULL,
    object          text NOT NULL,
    because         text NOT NULL,
    because_time    timestamptz NOT NULL,
    queued_at       timestamptz NOT NULL DEFAULT now(),
    gone            text,
    PRIMARY KEY (stream, alert, model_id, time)
);
COMMENT ON TABLE fulgor.rescore_queue IS 'Rows whose listed history is not what is stored by now; the job late-history computes them again.';
COMMENT ON COLUMN fulgor.rescore_queue.because IS 'The first alert, by time, that is stored and not in the row''s history.';
COMMENT ON COLUMN fulgor.rescore_queue.gone IS 'Why the row cannot be computed again: it stays as it is. NULL while it waits.';

CREATE OR REPLACE VIEW fulgor.latents AS
    SELECT l.stream, l.alert, l.object, l.time, m.name AS model, m.status AS model_status, l.latent, l.stamp_latent,
           l.class, l.probabilities, m.classes, l.scores, m.scores AS score_names, l.anomaly, l.unscorable,
           l.flags, l.appended_at, l.stored_at, l.model_id, l.reference, array_remove(l.history, NULL) AS history,
           cardinality(l.history) - cardinality(array_remove(l.history, NULL)) AS history_absent, l.revised_at
    FROM fulgor.latent l JOIN fulgor.model m USING (model_id);
COMMENT ON COLUMN fulgor.latents.history IS 'Earlier alerts of the object whose stamp latents entered the row; NULL for a model that takes none.';
COMMENT ON COLUMN fulgor.latents.history_absent IS 'How many earlier detections of the packet entered as "absent": no such alert is stored, or this model has not scored it.';

CREATE VIEW fulgor.late_history AS
    SELECT q.stream, q.alert, q.object, q.time, m.name AS model, m.hash, q.because, q.because_time, q.queued_at, q.gone,
           q.model_id
    FROM fulgor.rescore_queue q JOIN fulgor.model m USING (model_id);
COMMENT ON VIEW fulgor.late_history IS 'Rows that wait to be computed again because earlier alerts of their object came after them, and those that never can be.';
