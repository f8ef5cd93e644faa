-- Files of lines that could not be written at their time and were taken in since.
CREATE TABLE taken_in (
    file TEXT NOT NULL PRIMARY KEY,
    at   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How far the words of older turns have been cut anew: turns up to turn_id are still to be; 0: none is.
CREATE TABLE words_of_turns (
    version INTEGER NOT NULL PRIMARY KEY,
    turn_id INTEGER NOT NULL
) STRICT;
INSERT INTO words_of_turns SELECT 2, coalesce(max(turn_id), 0) FROM turns;
