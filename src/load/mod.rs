//! The load test: how many calls a server carries, and what callers hear at that load.
//!
//! Callers with recorded voices call the server as the carrier would, and the [`model`] answers them as the live service
//! would; both are so lean that they cost less than the server. What they agree on, so that each can measure what came
//! of the other's sound, is in [`sound`].
//!
//! | part | |
//! |---|---|
//! | [`outcome`] | what a test finds, as data |
//! | [`recording`] [`script`] [`arrivals`] | what callers say, what happens in a call, when calls come |
//! | [`wire`] [`playout`] [`caller`] | one caller as a machine |
//! | [`line`] [`run`] | the sockets, and the test around them |
//! | [`capacity`] | the search for the most calls |
//! | [`capture`] | a recorded caller made from a call that was kept |
//! | [`origin`] | which program tests, on which machine |
//! | [`tally`] [`histogram`] [`process`] [`meter`] [`summary`] [`judge`] | what was measured, and the verdict |
//! | [`page`] | an outcome as a page for people |
//!
//! It is a peer: like [`crate::sim`] it shares no wire code with what it tests. Only [`capture`] knows the program: the
//! files in which it keeps calls.

pub mod arrivals;
pub mod caller;
pub mod capacity;
pub mod capture;
pub mod growth;
pub mod histogram;
pub mod judge;
pub mod line;
pub mod meter;
pub mod model;
pub mod origin;
pub mod outcome;
pub mod page;
pub mod playout;
pub mod process;
pub mod recording;
pub mod run;
pub mod script;
pub mod sound;
pub mod summary;
pub mod tally;
pub mod wire;
