//! What a process of this machine uses, by `/proc` (Linux, proc(5)). Nothing is known elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// One look at a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub cpu: Duration,
    pub rss_bytes: u64,
}

/// What it has used by now; `None` if there is no such process, or no `/proc`.
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Usage {
        cpu: cpu(&stat)?,
        rss_bytes: field(&status, "VmRSS")?.split(' ').next()?.parse::<u64>().ok()? * 1024,
    })
}

/// The cores it may run on.
pub fn cores(pid: u32) -> Option<BTreeSet<u32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    list(field(&status, "Cpus_allowed_list")?)
}

/// The process that listens on this port of this machine, if it is one of ours.
pub fn listening_on(port: u16) -> Option<u32> {
    let sockets = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inode = sockets.iter().find_map(|path| inode(&fs::read_to_string(path).ok()?, port))?;
    let wanted = format!("socket:[{inode}]");
    let is_owner = |pid: &u32| {
        let handles = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        handles.flat_map(|handle| fs::read_link(handle.path())).any(|to| to.as_os_str() == wanted.as_str())
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_owner)
}

/// Ticks of user and system time are fields 14 and 15; a tick is 10 ms on every Linux of today (`USER_HZ`). The name in
/// field 2 may hold anything but ends with the last parenthesis.
fn cpu(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// `0-2,5`
fn list(text: &str) -> Option<BTreeSet<u32>> {
    let mut cores = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?);
    }
    Some(cores)
}

/// The inode of the socket that listens (state 0A) on this port.
fn inode(table: &str, port: u16) -> Option<u64> {
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&port) && *fields.get(3)? == "0A";
        if is_it { fields.get(9)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_bad_name_is_read() {
        let stat = "12 (a) b) R 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 99 1000 25";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu("12 (a"), None);
    }

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(list("0-2,5"), Some([0, 1, 2, 5].into()));
        assert_eq!(list("x"), None);
    }

    #[test]
    fn the_socket_that_listens_is_found() {
        let table = "  sl  local_address rem_address st tx rx tr when retr uid timeout inode\n\
             0: 0100007F:1F90 0100007F:0001 01 0:0 00:0 0 0 0 11 1\n\
             1: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0 0 0 22 1\n";
        assert_eq!(inode(table, 8080), Some(22));
        assert_eq!(inode(table, 8081), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening_on(port), Some(std::process::id()));
        assert!(usage(std::process::id()).unwrap().rss_bytes > 1 << 20);
        assert!(!cores(std::process::id()).unwrap().is_empty());
    }
}
