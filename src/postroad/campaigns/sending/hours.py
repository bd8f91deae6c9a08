"""The hours of a day in which mails of a task may begin: one condition, for whoever asks. Pure.

From eight to eight is a day, from twenty to six a night; the same time twice is always.
"""

from __future__ import annotations

# On a row `t` of task; {0} is the parameter with the platform's zone.
WITHIN_HOURS = """(t.hours_from IS NULL OR t.hours_from = t.hours_until OR CASE
    WHEN t.hours_from < t.hours_until
    THEN (now() AT TIME ZONE {0})::time >= t.hours_from AND (now() AT TIME ZONE {0})::time < t.hours_until
    ELSE (now() AT TIME ZONE {0})::time >= t.hours_from OR (now() AT TIME ZONE {0})::time < t.hours_until
    END)"""
