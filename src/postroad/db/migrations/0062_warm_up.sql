-- Receivers do not know a new domain yet: from this day on it sends few mails an hour, and each day twice as many.
ALTER TABLE sender_domain ADD COLUMN warm_up_from date;                 -- in the platform's zone; NULL: no ramp
