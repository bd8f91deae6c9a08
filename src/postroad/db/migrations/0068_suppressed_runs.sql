-- A finished run's failures are held against the suppression rules once; bounces that come later are judged as they come.
ALTER TABLE run ADD COLUMN judged_at timestamptz;
CREATE INDEX run_unjudged ON run (finished_at) WHERE judged_at IS NULL AND finished_at IS NOT NULL;
