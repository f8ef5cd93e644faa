//! Lines on their way to descriptors that take them, take them later, or never do.

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read as _, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rstest::rstest;
use rustix::fs::OFlags;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn count(lines: u64) -> Vec<u8> {
    format!("{lines} dropped\n").into_bytes()
}

fn lines(output: impl Into<OwnedFd>) -> Lines {
    Lines::start(output.into(), count)
}

/// A pipe of one page.
fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    (reader, writer)
}

fn set_nonblocking(output: &impl AsFd) {
    let flags = rustix::fs::fcntl_getfl(output).unwrap();
    rustix::fs::fcntl_setfl(output, flags | OFlags::NONBLOCK).unwrap();
}

fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it does not happen");
        thread::yield_now();
    }
}

#[test]
fn lines_come_in_their_order_and_a_flush_waits_for_them() {
    let (mut reader, writer) = pipe().unwrap();
    let lines = lines(writer);
    for n in 0..100 {
        lines.push(format!("{n}\n").as_bytes());
    }
    assert!(lines.flush(PATIENCE));
    assert_eq!(lines.status(), Status::default());
    drop(lines);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, (0..100).map(|n| format!("{n}\n")).collect::<String>());
}

/// Descriptors that refuse.
fn refusing(what: &str) -> OwnedFd {
    match what {
        "a reader that is gone" => pipe().unwrap().1.into(),
        "a socket whose other end is gone" => UnixStream::pair().unwrap().0.into(),
        "a full disk" => File::options().write(true).open("/dev/full").unwrap().into(),
        "no right to write" => File::open("/dev/null").unwrap().into(),
        "a terminal that has closed" => {
            let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
            let terminal = rustix::pty::openpt(flags).unwrap();
            rustix::pty::unlockpt(&terminal).unwrap();
            let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
            let flags = OFlags::RDWR | OFlags::NOCTTY;
            rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap()
        }
        other => panic!("{other}"),
    }
}

#[rstest]
#[case("a reader that is gone", "Broken pipe")]
#[case("a socket whose other end is gone", "Broken pipe")]
#[case("a full disk", "No space left")]
#[case("no right to write", "Bad file descriptor")]
#[case("a terminal that has closed", "Input/output error")]
fn lines_that_cannot_be_written_are_counted_with_the_reason(#[case] what: &str, #[case] error: &str) {
    let lines = lines(refusing(what));
    for _ in 0..10_000 {
        lines.push(b"a line\n");
    }
    assert!(lines.flush(PATIENCE), "the thread lives");
    let status = lines.status();
    assert_eq!(status.lines_dropped, 10_000);
    assert!(status.error.as_deref().is_some_and(|text| text.contains(error)), "{status:?}");
}

#[rstest]
#[case::waits_in_the_write(false)]
#[case::made_non_blocking_by_another_process(true)]
fn a_reader_that_stops_costs_lines_and_is_told_how_many_when_it_goes_on(#[case] is_nonblocking: bool) {
    const PUSHED: usize = 20_000;
    let (reader, writer) = small_pipe();
    if is_nonblocking {
        set_nonblocking(&writer);
    }
    let lines = lines(writer);
    for _ in 0..PUSHED {
        lines.push(b"nobody reads this line\n");
    }
    let dropped = lines.status().lines_dropped;
    assert!(dropped > 0 && dropped < 20_000, "{dropped}");
    assert!(!lines.flush(Duration::from_millis(1)), "it does not wait for ever");

    let read = thread::spawn(move || io::read_to_string(reader).unwrap());
    assert!(lines.flush(PATIENCE));
    drop(lines);
    let text = read.join().unwrap();
    let written = text.lines().filter(|line| *line == "nobody reads this line").count();
    assert!(reported(&text) > 0);
    assert_eq!(written + reported(&text), PUSHED);
}

/// The sum of what was reported.
fn reported(text: &str) -> usize {
    let counts = text.lines().filter_map(|line| line.strip_suffix(" dropped"));
    counts.map(|count| count.parse::<usize>().unwrap()).sum()
}

#[test]
fn dropped_lines_are_reported_though_no_other_line_comes() {
    let (sender, mut receiver) = UnixStream::pair().unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let lines = lines(sender);
    let line = [&vec![b'x'; LINE_BYTES_MAX - 1][..], b"\n"].concat();
    let mut pushed = 0;
    until(|| {
        lines.push(&line);
        pushed += 1;
        lines.status().lines_dropped > 5
    });
    let (mut text, mut part) = (Vec::new(), vec![0; 1 << 16]);
    until(|| {
        let read = receiver.read(&mut part).unwrap();
        text.extend_from_slice(&part[..read]);
        let text = std::str::from_utf8(&text).unwrap();
        let whole = text.lines().filter(|read| read.len() == line.len() - 1).count();
        whole + reported(text) == pushed
    });
    assert_eq!(lines.status().error, None);
}

#[test]
fn the_queue_is_bounded_in_lines_and_in_bytes() {
    for (size, held_max) in [(1, LINES_MAX + 4096 + 1), (LINE_BYTES_MAX, BYTES_MAX / LINE_BYTES_MAX)] {
        let (_reader, writer) = small_pipe();
        let lines = lines(writer);
        let line = vec![b'x'; size];
        for _ in 0..2 * held_max {
            lines.push(&line);
        }
        let dropped = usize::try_from(lines.status().lines_dropped).unwrap();
        assert!(2 * held_max - dropped <= held_max, "{size}: {dropped}");
        assert!(lines.shared.bytes.load(Ordering::Relaxed) <= BYTES_MAX);
    }
}

#[test]
fn a_line_that_broke_off_is_ended_before_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let file = File::create(&path).unwrap();
    let (_sender, queue) = sync_channel(1);
    let mut writer = Writer {
        output: file,
        report: count,
        lines: queue,
        shared: Arc::default(),
        is_torn: false,
        reported: 0,
        reported_at: None,
    };
    writer.write_all(b"half a li").unwrap();
    writer.is_torn = true;
    assert!(writer.write(b"the next line\n"));
    assert!(writer.write(b"and one more\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "half a li\nthe next line\nand one more\n");
}

#[rstest]
#[case::ascii("x".repeat(LINE_BYTES_MAX * 2), 0)]
#[case::two_bytes("ü".repeat(LINE_BYTES_MAX), 0)]
#[case::three_bytes("語".repeat(LINE_BYTES_MAX), 0)]
#[case::four_bytes("👩".repeat(LINE_BYTES_MAX), 0)]
#[case::as_long_as_allowed("x".repeat(LINE_BYTES_MAX - 1) + "\n", LINE_BYTES_MAX)]
fn a_line_that_is_too_long_is_cut_between_characters(#[case] line: String, #[case] kept: usize) {
    let cut = shortened(line.as_bytes());
    let text = std::str::from_utf8(&cut).unwrap();
    assert!(text.len() <= LINE_BYTES_MAX && text.len() > LINE_BYTES_MAX - 8);
    assert!(text.ends_with('\n'));
    assert_eq!(text.ends_with("…\n"), kept == 0);
}

#[test]
fn many_threads_that_push_at_once_lose_nothing_that_is_not_counted() {
    let (reader, writer) = small_pipe();
    let lines = lines(writer);
    let read = thread::spawn(move || io::read_to_string(reader).unwrap());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..5000).for_each(|_| lines.push(b"line\n")));
        }
    });
    assert!(lines.flush(PATIENCE));
    let dropped = lines.status().lines_dropped;
    drop(lines);
    let text = read.join().unwrap();
    let written = text.lines().filter(|line| *line == "line").count();
    assert_eq!(u64::try_from(written).unwrap() + dropped, 8 * 5000);
}
