//! Two hundred sentences over real sockets, ended in every way, leave no task, no descriptor and no connection.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod speech_peer;

use std::time::Duration;

use futures_util::StreamExt as _;
use patchcord::job::{Event, Request, Sentence};
use patchcord::provider::Providers;
use tokio::runtime::Handle;
use tokio::time::timeout;

use speech_peer::{END, Peer, Then, chunks, head, providers};

const ROUNDS: usize = 200;

/// More than any of this takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tasks alive and descriptors open in this process.
fn held() -> (usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    (Handle::current().metrics().num_alive_tasks(), descriptors)
}

fn speak() -> Request {
    Request::Speak(Sentence { text: "Your order has shipped.".to_owned(), language: None })
}

/// One sentence: heard to its end, dropped at the first sound, or given up because nothing comes.
async fn round(n: usize, services: &mut [(Providers, Peer); 3]) {
    let len = services.len();
    let (providers, peer) = &mut services[n % len];
    let mut job = providers.job(speak());
    match n % len {
        0 => {
            let events: Vec<_> = job.by_ref().collect().await;
            assert_eq!(events.last(), Some(&Event::Done));
        }
        1 => while !matches!(job.next().await, Some(Event::Audio(_))) {},
        _ => {
            let _ = futures_util::poll!(job.next());
            // The request has arrived, so the connection stands.
            tokio::select! {
                event = job.next() => panic!("{event:?}"),
                request = peer.requests.recv() => assert!(request.is_some()),
            }
        }
    }
    drop(job);
    timeout(PATIENCE, peer.closed.recv()).await.unwrap().unwrap();
}

/// Waits until the tasks of closed connections have ended.
async fn settle(base: (usize, usize)) {
    let settled = async {
        while held() != base {
            tokio::task::yield_now().await;
        }
    };
    let _ = timeout(PATIENCE, settled).await;
}

#[tokio::test]
async fn two_hundred_sentences_leave_nothing_behind() {
    // 20 ms of samples of 800: silence would be a failure.
    let audio = [0x20_u8, 0x03].repeat(480);
    let begun = [head("audio/pcm"), chunks([&audio[..]])].concat();
    let whole = [&begun[..], END].concat();
    let mut services = [whole, begun, Vec::new()].map(|answer| {
        let peer = Peer::start(answer, Then::Wait);
        (providers("tts", &[("openai", peer.port, "")]), peer)
    });
    let base = held();
    for n in 0..ROUNDS {
        round(n, &mut services).await;
    }
    settle(base).await;
    assert_eq!(held(), base, "(tasks, descriptors)");
}
