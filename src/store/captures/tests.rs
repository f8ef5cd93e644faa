//! Files of calls on a real disk.

use tempfile::TempDir;

use super::*;

fn config(folder: &TempDir) -> Config {
    Config { folder: folder.path().join("captures"), ..Config::default() }
}

fn read(config: &Config, call: CallId) -> Vec<String> {
    let text = fs::read_to_string(path(&config.folder, call)).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_call_is_a_file_of_its_own_for_the_owner_alone() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let captures = Captures::start(&config).unwrap();
    let (one, two) = (CallId::new(1), CallId::new(2));
    let mut first = captures.handle().begin(one, "head 1".to_owned());
    let mut second = captures.handle().begin(two, "head 2".to_owned());
    for n in 0..100 {
        first.write(format!("one {n}"));
        second.write(format!("two {n}"));
    }
    first.finish();
    drop(second);
    assert!(captures.close().await);
    let (one, two) = (read(&config, one), read(&config, two));
    assert_eq!((one.len(), one[0].as_str(), one[100].as_str()), (102, "head 1", "one 99"));
    assert_eq!(one.last().map(String::as_str), Some(r#"{"end":"whole"}"#));
    assert_eq!((two.len(), two[100].as_str()), (101, "two 99"), "a call that does not end has no last line");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&config.folder), 0o700);
        assert_eq!(mode(&path(&config.folder, CallId::new(1))), 0o600);
    }
}

/// Lines of ten bytes for a writer that is not there yet.
fn overfill(lines: usize, waiting_max: usize) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    make_folder(&config.folder).unwrap();
    let (handle, jobs) = Handle::pair(lines, waiting_max);
    let mut capture = handle.begin(CallId::new(1), "0123456789".to_owned());
    for _ in 0..10 {
        capture.write("0123456789".to_owned());
    }
    assert!(!capture.is_running());
    drop(capture);
    let writer = Writer::new(&config, Arc::clone(&handle.waiting));
    let stop = std::thread::spawn(move || {
        let _ = handle.jobs.send(Job::Stop);
        handle
    });
    writer.run(&jobs);
    assert_eq!(stop.join().unwrap().waiting.load(Ordering::Acquire), 0);
    read(&config, CallId::new(1))
}

#[test]
fn a_full_queue_ends_the_capture_and_its_file_says_so() {
    let end = Line::end(Cut::QueueFull.text());
    let written = overfill(5, 1_000_000);
    assert_eq!((written.len(), written.last()), (5, Some(&end)), "the opening of the file and four lines");
    let written = overfill(100, 30);
    assert_eq!((written.len(), written.last()), (4, Some(&end)));
}

#[tokio::test]
async fn a_file_that_cannot_be_made_ends_the_capture() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let captures = Captures::start(&config).unwrap();
    fs::write(path(&config.folder, CallId::new(1)), "another").unwrap();
    captures.handle().begin(CallId::new(1), "head".to_owned()).finish();
    assert!(captures.close().await);
    assert_eq!(read(&config, CallId::new(1)), ["another"]);
}

#[test]
fn old_files_are_deleted_and_others_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = path(folder.path(), CallId::new(1));
    fs::write(&path, "").unwrap();
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    let after = |days: u64| SystemTime::now() + Duration::from_secs(days * 24 * 3600);
    assert_eq!(sweep(folder.path(), 30, after(29)), 0);
    assert_eq!(sweep(folder.path(), 30, after(31)), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(sweep(&folder.path().join("nowhere"), 30, after(31)), 0);
}

#[test]
fn what_is_kept_of_a_call_can_be_erased() {
    let folder = TempDir::new().unwrap();
    fs::write(path(folder.path(), CallId::new(1)), "").unwrap();
    assert!(erase(folder.path(), CallId::new(1)).unwrap());
    assert!(!erase(folder.path(), CallId::new(1)).unwrap(), "it is gone");
}
