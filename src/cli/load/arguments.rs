//! Times, arrivals and mixes as they are written on a command line.

use std::time::Duration;

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};

use crate::load::outcome::{Arrivals, Kind, Share};

/// More of one kind cannot be dealt fairly in a test.
const WEIGHT_MAX: u32 = 1000;

/// Kinds of calls with their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mix(pub(super) Vec<Share>);

/// Reads `short=4,long=2`.
pub(super) fn mix(text: &str) -> Result<Mix, String> {
    let shares: Vec<_> = text.split(',').map(share).collect::<Result<_, _>>()?;
    if shares.iter().all(|share| share.weight == 0) {
        return Err("no kind has a weight".to_owned());
    }
    Ok(Mix(shares))
}

fn share(text: &str) -> Result<Share, String> {
    let (name, weight) = text.trim().split_once('=').unwrap_or_else(|| (text.trim(), "1"));
    let name: StrDeserializer<'_, Error> = name.into_deserializer();
    let kind = Kind::deserialize(name).map_err(|error| error.to_string())?;
    let weight = weight.parse().ok().filter(|weight| *weight <= WEIGHT_MAX);
    let weight =
        weight.ok_or_else(|| format!("the weight in `{text}` is no number from 0 to {WEIGHT_MAX}"))?;
    Ok(Share { kind, weight })
}

pub(super) fn arrivals(text: &str) -> Result<Arrivals, String> {
    let name: StrDeserializer<'_, Error> = text.into_deserializer();
    Arrivals::deserialize(name).map_err(|error| error.to_string())
}

/// Reads `20s`, `500ms`, `5m` or `2h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    crate::cli::simulate::duration(text)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::several("short=4,barge-in=1", Ok(&[(Kind::Short, 4), (Kind::BargeIn, 1)][..]))]
    #[case::without_weight("long", Ok(&[(Kind::Long, 1)][..]))]
    #[case::unknown("tall=1", Err("unknown variant `tall`"))]
    #[case::no_number("long=x", Err("is no number from 0 to 1000"))]
    #[case::nothing("long=0", Err("no kind has a weight"))]
    fn mixes_are_read(#[case] text: &str, #[case] expected: Result<&[(Kind, u32)], &str>) {
        match (mix(text), expected) {
            (Ok(Mix(shares)), Ok(expected)) => {
                let shares: Vec<_> = shares.iter().map(|share| (share.kind, share.weight)).collect();
                assert_eq!(shares, expected);
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn arrivals_are_read() {
        assert_eq!(arrivals("poisson"), Ok(Arrivals::Poisson));
        assert!(arrivals("never").is_err());
    }
}
