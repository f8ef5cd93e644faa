//! Words of turns that an older program cut.

use sqlx::ConnectOptions as _;

use super::{Scene, context, opened, sqlite, turn};
use crate::call::record::{Ending, Record};
use crate::dialogue::Speaker;
use crate::store::query::{Filter, Page, Query};
use crate::store::words::{before, fts, words};

fn joined(words: &[String]) -> String {
    words.iter().map(|word| fts(word)).collect::<Vec<_>>().join(" ")
}

async fn found(scene: &Scene, text: &str) -> usize {
    let query = Query::open(&scene.path()).await.unwrap();
    let mut filter = Filter::default();
    filter.set("search", text, context().started_at).unwrap();
    query.calls(&filter, &Page::default()).await.unwrap().calls.len()
}

#[tokio::test]
async fn older_turns_are_cut_anew_in_steps_and_once() {
    const TEXT: &str = "Die Größe von โต๊ะ";
    let scene = Scene::new();
    let store = scene.store().await;
    for call in 1..=300 {
        let mut ledger = scene.ledger(call);
        for record in [opened(), turn(Speaker::Caller, TEXT), Record::Ended(Ending::CallerHungUp)] {
            store.handle().append(scene.entry(&mut ledger, 20, record));
        }
    }
    store.close().await.unwrap();
    // As the older program left it.
    let mut file = sqlite::options(&scene.path()).connect().await.unwrap();
    for turn_id in 1..=300_i64 {
        let texts = [
            ("INSERT INTO turn_words (turn_words, rowid, words) VALUES ('delete', ?, ?)", words(TEXT)),
            ("INSERT INTO turn_words (rowid, words) VALUES (?, ?)", before::words(TEXT)),
        ];
        for (statement, words) in texts {
            sqlx::query(statement).bind(turn_id).bind(joined(&words)).execute(&mut file).await.unwrap();
        }
    }
    sqlx::query("UPDATE words_of_turns SET turn_id = 300").execute(&mut file).await.unwrap();
    assert_eq!(found(&scene, "grösse").await, 0);

    let store = scene.store().await;
    let left = "SELECT turn_id FROM words_of_turns";
    while sqlx::query_scalar::<_, i64>(left).fetch_one(&mut file).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    store.close().await.unwrap();
    for text in ["grösse", "GRÖSSE die", "โต๊ะ"] {
        let query = Query::open(&scene.path()).await.unwrap();
        let mut filter = Filter::default();
        filter.set("search", text, context().started_at).unwrap();
        let page = query.calls(&filter, &Page::new(Page::LIMIT_MAX, None).unwrap()).await.unwrap();
        assert!(page.calls.len() == 200 && page.next.is_some(), "{text}");
    }
    sqlx::query("INSERT INTO turn_words (turn_words) VALUES ('integrity-check')")
        .execute(&mut file)
        .await
        .unwrap();
}
