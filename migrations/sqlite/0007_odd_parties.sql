-- Parties whose text has more than digits, as SIP addresses and numbers with separators: a question for a number reads
-- them all, to find it in whatever way it is written.
CREATE INDEX odd_callers ON calls (caller) WHERE caller GLOB '*[^+0-9]*' AND caller <> 'anonymous';
CREATE INDEX odd_dialled ON calls (dialled) WHERE dialled GLOB '*[^+0-9]*' AND dialled <> 'anonymous';
