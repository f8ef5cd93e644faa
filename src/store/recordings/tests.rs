//! Files as they come to be, end, fail and expire, on a real disk.

use ::time::macros::date;
use rstest::rstest;

use super::*;
use crate::audio::g711;

const CALL: CallId = CallId::new(7);

fn block(n: u64) -> Box<Block> {
    let sound = vec![g711::encode(4000); 800];
    Box::new(Block { position: n * 800, caller: sound, agent: vec![g711::MULAW_SILENCE; 800] })
}

fn config(folder: &Path) -> Config {
    Config { folder: folder.join("recordings"), free_bytes_min: 0 }
}

fn samples(config: &Config) -> usize {
    let file = fs::read(path(&config.folder, &CALL.to_string())).unwrap();
    opus::read(&file).unwrap().samples.len() / 2
}

#[cfg(unix)]
#[test]
fn a_recording_is_a_file_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let recorder = Recorder::start(&config).unwrap();
    let mut track = recorder.begin(CALL, None);
    for n in 0..25 {
        track.write(block(n)).unwrap();
    }
    drop(track);
    recorder.close();
    assert_eq!(samples(&config), 25 * 800);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&config.folder), 0o700);
    assert_eq!(mode(&path(&config.folder, &CALL.to_string())), 0o600);
    assert_eq!(recorder.written(), fs::metadata(path(&config.folder, &CALL.to_string())).unwrap().len());
}

/// Of a process that is killed everything but the last second is there.
#[test]
fn a_recording_is_written_while_the_call_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let recorder = Recorder::start(&config).unwrap();
    let mut track = recorder.begin(CALL, None);
    for n in 0..35 {
        track.write(block(n)).unwrap();
    }
    let file = path(&config.folder, &CALL.to_string());
    while !file.exists()
        || opus::read(&fs::read(&file).unwrap()).map_or(0, |wav| wav.samples.len()) < 2 * 23_000
    {
        std::thread::yield_now();
    }
    drop(track);
    recorder.close();
    assert_eq!(samples(&config), 35 * 800);
}

/// The process ends in the middle of a call: what the threads have is written.
#[test]
fn closing_ends_the_files_of_calls_that_go_on_and_tells_them_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let recorder = Recorder::start(&config).unwrap();
    let mut track = recorder.begin(CALL, None);
    track.write(block(0)).unwrap();
    recorder.close();
    assert_eq!(samples(&config), 800);
    assert_eq!(track.write(block(1)), Err(Failure::Closed));
    assert_eq!(track.write(block(2)), Ok(()), "it is told once");
    assert_eq!(recorder.begin(CallId::new(8), None).write(block(0)), Err(Failure::Closed));
}

#[test]
fn a_full_disk_ends_the_recording_and_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { free_bytes_min: u64::MAX, ..config(folder.path()) };
    let recorder = Recorder::start(&config).unwrap();
    let mut track = recorder.begin(CALL, None);
    let mut told = Vec::new();
    while told.is_empty() {
        told.extend(track.write(block(0)).err());
        std::thread::yield_now();
    }
    assert_eq!((told, track.write(block(1))), (vec![Failure::NoSpace], Ok(())));
    assert!(!path(&config.folder, &CALL.to_string()).exists());
}

#[test]
fn a_full_queue_ends_the_recording_and_the_call_never_waits() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let recorder = Recorder::with_queue(&config, 1).unwrap();
    let mut track = recorder.begin(CALL, None);
    let failure = (0..100_000).find_map(|n| track.write(block(n)).err());
    assert_eq!(failure, Some(Failure::Slow));
    drop(track);
    recorder.close();
    assert!(samples(&config).is_multiple_of(800), "what was taken is whole");
}

/// A busy machine: the call has ended and its last blocks are still in the queue when the thread looks for such.
#[test]
fn what_a_call_that_is_gone_has_sent_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    fs::create_dir(&config.folder).unwrap();
    let (queue, jobs) = sync_channel(QUEUE);
    let mut thread = Thread::new(config.clone(), jobs, Arc::default(), Arc::default());
    thread.handle(Job::Begin { call: CALL, expires: None, failure: Arc::default() });
    for n in 0..3 {
        queue.send(Job::Block { call: CALL, block: block(n) }).unwrap();
    }
    thread.end_left();
    assert_eq!(samples(&config), 3 * 800);
}

#[test]
fn a_call_that_has_a_file_already_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let recorder = Recorder::start(&config).unwrap();
    let file = path(&config.folder, &CALL.to_string());
    fs::write(&file, "a recording").unwrap();
    let mut track = recorder.begin(CALL, None);
    let failure = std::iter::repeat_with(|| {
        // The thread has to come to it before the queue is full.
        std::thread::yield_now();
        track.write(block(0)).err()
    });
    let failure = failure.flatten().next();
    assert!(matches!(failure, Some(Failure::File(_))), "{failure:?}");
    assert_eq!(fs::read(&file).unwrap(), b"a recording");
}

#[rstest]
#[case::on_the_last_day(date!(2026-12-20), 0)]
#[case::on_the_day_after(date!(2026-12-21), 1)]
#[case::long_after(date!(2036-12-21), 1)]
fn a_recording_is_deleted_when_its_time_is_over(#[case] today: Date, #[case] deleted: usize) {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, comments: &[String]| {
        let file = opus::Writer::new(1, comments).unwrap().finish().unwrap();
        fs::write(folder.path().join(name), file).unwrap();
    };
    put("1.opus", &[format!("{EXPIRES}{}", expiry(date!(2026 - 11 - 20), 30))]);
    put("2.opus", &[]);
    fs::write(folder.path().join("3.opus"), "no recording").unwrap();
    assert_eq!(sweep(folder.path(), today).unwrap(), deleted);
    assert_eq!(folder.path().join("1.opus").exists(), deleted == 0);
    assert!(folder.path().join("2.opus").exists() && folder.path().join("3.opus").exists());
}

#[test]
fn a_recording_is_erased_by_its_call() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(path(folder.path(), &CALL.to_string()), "").unwrap();
    assert!(erase(folder.path(), CALL).unwrap());
    assert!(!erase(folder.path(), CALL).unwrap());
}
