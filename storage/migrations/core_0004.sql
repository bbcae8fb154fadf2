-- Messages that were worked on alone because their neighbourhood had killed the process before.
ALTER TABLE fulgor.feed ADD COLUMN trial_offset bigint;
ALTER TABLE fulgor.feed ADD COLUMN trials integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN fulgor.feed.trials IS 'How often the message at trial_offset was begun alone: written before the work, so a death counts.';
