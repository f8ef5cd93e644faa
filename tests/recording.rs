//! A recorded call over real sockets: what its file says was said and heard, measured against what was.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use patchcord::audio::opus;
use patchcord::bridge::Bridge;
use patchcord::call::agent::{Agent, Keep, Recording};
use patchcord::provider::Providers;
use patchcord::secret::Secret;
use patchcord::sim::carrier;
use patchcord::sim::gemini::{Behaviour, Hearing, Scenario, Turn, Utterance, tone};
use patchcord::store::Store;
use patchcord::store::query::Query;
use patchcord::store::recordings::{self, Recorder};
use world::{AUTH_TOKEN, Front, agent, caller, endpoint, event, model, offer, quick};

/// A second answer after an interrupted one.
fn scenario() -> Scenario {
    let turn = |heard: &str, seconds| Turn {
        heard: heard.into(),
        say: vec![Utterance { text: "An answer.".into(), samples: tone(440.0, seconds) }],
        ..Turn::default()
    };
    Scenario { turns: vec![turn("First?", 4.0), turn("Second?", 0.6)], ..Scenario::default() }
}

/// Begin and end of everything louder than the edge of a codec, milliseconds; pauses shorter than 100 ms belong to it.
fn sounds(channel: &[i16]) -> Vec<(i64, i64)> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for (at, _) in channel.iter().enumerate().filter(|(_, sample)| sample.unsigned_abs() > 1500) {
        let ms = at as i64 / 8;
        match found.last_mut() {
            Some((_, end)) if ms - *end < 100 => *end = ms,
            _ => found.push((ms, ms)),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_has_each_side_where_it_was_heard_and_nothing_of_the_other() {
    let model = model(Behaviour { hearing: Hearing::Chunks, ..quick() }, scenario()).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("calls.db")).await.unwrap();
    let config = recordings::Config { folder: folder.path().join("recordings"), free_bytes_min: 0 };
    let recorder = Arc::new(Recorder::start(&config).unwrap());
    let offer = offer(&[endpoint(&model)], Providers::default());
    let bridge = Bridge::new(store.handle(), offer).recording(Arc::clone(&recorder));
    let keep = Keep { recording: Some(Recording::default()), ..Keep::default() };
    let front = Front::serve(Agent { keep, ..agent() }, bridge).await;

    let webhook = format!("{}/twilio/voice", front.url);
    let fixture = caller(&[1500, 2200], 2500);
    let report =
        carrier::place(carrier::Config::new(webhook, Secret::new(AUTH_TOKEN), fixture)).await.unwrap();
    front.stop().await;
    recorder.close();
    store.close().await.unwrap();
    model.shutdown().await;

    let query = Query::open(&folder.path().join("calls.db")).await.unwrap();
    let detail = query.call(&report.caller.call_sid).await.unwrap().unwrap();
    let path = recordings::path(&config.folder, &detail.call.call_id);
    let file = std::fs::read(&path).unwrap();
    let sound = opus::read(&file).unwrap();
    let side = |index: usize| sound.samples.iter().skip(index).step_by(2).copied().collect::<Vec<i16>>();
    let (caller, agent) = (side(0), side(1));

    let origin = report.spoken.runs()[0].at;
    let render = |timeline: &carrier::timeline::Timeline| {
        let mut channel = vec![0; caller.len() + 8000];
        timeline.render(origin, &mut channel);
        sounds(&channel)
    };
    let (said, heard) = (render(&report.spoken), render(&report.played.timeline));
    assert_eq!((said.len(), heard.len()), (2, 2), "{said:?} {heard:?}");
    assert!(heard[0].1 - heard[0].0 < 3500, "the first answer was interrupted: {heard:?}");
    // The stream begins at the caller's first chunk. Twice the bar: the machine that runs the tests may be busy.
    let shift = sounds(&caller)[0].0 - said[0].0;
    for (found, expected) in [(sounds(&caller), said), (sounds(&agent), heard)] {
        assert_eq!(found.len(), expected.len(), "{found:?} for {expected:?}");
        for (found, expected) in found.iter().zip(expected) {
            let off = [found.0 - expected.0 - shift, found.1 - expected.1 - shift].map(i64::abs);
            assert!(off.iter().all(|ms| *ms <= 40), "{found:?} for {expected:?}, shifted by {shift}");
        }
    }
    let (from, until) = sounds(&caller)[0];
    let during = &agent[from as usize * 8..until as usize * 8];
    assert!(during.iter().all(|sample| sample.abs() < 8), "the caller is heard on the agent's side");
    let (from, until) = sounds(&agent)[1];
    let during = &caller[(from as usize + 20) * 8..(until as usize - 20) * 8];
    assert!(during.iter().all(|sample| sample.abs() < 8), "the agent is heard on the caller's side");

    let ms = sound.samples.len() as u64 / 16;
    assert_eq!(event(&detail, "recording_ended"), format!(r#"{{"duration_ms":{ms}}}"#));
    let opusinfo = Command::new("opusinfo").arg(&path).output().expect("opusinfo, of opus-tools");
    let said = String::from_utf8_lossy(&opusinfo.stdout) + String::from_utf8_lossy(&opusinfo.stderr);
    assert!(opusinfo.status.success() && !said.contains("WARNING"), "{said}");
    assert!(said.contains("Channels: 2"), "{said}");
    let piece = opus::read(&file[..file.len() * 2 / 3]).unwrap().samples;
    let lost = Duration::from_millis((sound.samples.len() - piece.len()) as u64 / 16);
    assert_eq!(piece, sound.samples[..piece.len()]);
    assert!(lost < Duration::from_millis(ms / 3 + 2000), "a page a second: {lost:?} are lost");
}
