-- How far the words of older turns have been cut anew: those of calls from call_id on are the words of `version`.
CREATE TABLE words_of_turns (
    version bigint NOT NULL PRIMARY KEY,
    call_id uuid   NOT NULL
);
INSERT INTO words_of_turns VALUES (2, 'ffffffff-ffff-ffff-ffff-ffffffffffff');

COMMENT ON TABLE words_of_turns IS 'How far the words of older turns have been cut anew, the newest calls first; all zeros: all of them.';
