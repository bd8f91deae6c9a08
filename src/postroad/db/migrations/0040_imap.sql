-- When a mail came to lie in its folder (RFC 8514): delivered, appended, copied or moved there. Every way in is an
-- INSERT, so the default says it; rows that were there before are told as saved when this ran.
ALTER TABLE entry ADD COLUMN saved_at timestamptz NOT NULL DEFAULT now();
