-- Parties whose text has more than digits, as SIP addresses and numbers with separators: a question for a number reads
-- them all, to find it in whatever way it is written.
CREATE INDEX odd_callers ON calls (left(caller, 64)) WHERE caller !~ '^\+?[0-9]+$' AND caller <> 'anonymous';
CREATE INDEX odd_dialled ON calls (left(dialled, 64)) WHERE dialled !~ '^\+?[0-9]+$' AND dialled <> 'anonymous';
