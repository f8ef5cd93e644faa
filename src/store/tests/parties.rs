//! Questions for a party, whatever way it is written in the log.

use rstest::rstest;

use super::{Scene, context};
use crate::call::context::Context;
use crate::call::record::Record;
use crate::store::query::{Filter, Page, Query};

/// Logged: the first five are one number.
const LOGGED: [&str; 9] = [
    "+13125550142",
    "+1 (312) 555-0142",
    "sip:+13125550142@acme.example:5061;user=phone",
    "3125550142",
    "01113125550142",
    "+13125550143",
    "sip:AcmeBank@Host.example",
    "Anonymous",
    "client:alice",
];

#[rstest]
#[case::e164("number", "+13125550142", &[0, 1, 2, 3, 4])]
#[case::national("number", "(312) 555-0142", &[0, 1, 2, 3, 4])]
#[case::plusless("number", "13125550142", &[0, 1, 2, 3, 4])]
#[case::from_abroad("number", "00 1 312 555 0142", &[0, 1, 2, 3, 4])]
#[case::as_north_america_dials("number", "011 1 312 555 0142", &[0, 1, 2, 3, 4])]
#[case::sip("number", "sip:+13125550142@other.example", &[0, 1, 2, 3, 4])]
#[case::of_the_caller("caller", "312.555.0142", &[0, 1, 2, 3, 4])]
#[case::full_width("number", "＋１３１２５５５０１４２", &[0, 1, 2, 3, 4])]
#[case::another("number", "+13125550143", &[5])]
#[case::a_sip_user_in_another_case("number", "sip:acmebank@host.example", &[6])]
#[case::withheld("caller", "anonymous", &[7])]
#[case::a_client("caller", "client:alice", &[8])]
#[case::dialled("dialled", "+13125550142", &[])]
#[case::nobody("number", "+4930123456", &[])]
#[case::a_wildcard("number", "%", &[])]
#[tokio::test]
async fn a_party_is_found_in_every_spelling(
    #[case] name: &str,
    #[case] asked: &str,
    #[case] expected: &[usize],
) {
    let scene = Scene::new();
    let store = scene.store().await;
    for (call, from) in LOGGED.iter().enumerate() {
        let mut ledger = scene.ledger(call as u128);
        let context = Context { from: (*from).to_owned(), call_sid: call.to_string(), ..context() };
        store.handle().append(scene.entry(&mut ledger, 0, Record::Opened(Box::new(context))));
    }
    store.close().await.unwrap();
    let query = Query::open(&scene.path()).await.unwrap();
    let mut filter = Filter::default();
    filter.set(name, asked, context().started_at).unwrap();
    let calls = query.calls(&filter, &Page::default()).await.unwrap().calls;
    let mut found: Vec<usize> = calls.iter().map(|call| call.call_sid.parse().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    query.close().await;
}
