//! Limits of control groups, version 1 and 2 (cgroups(7); the kernel's `admin-guide/cgroup-v2.rst` and
//! `admin-guide/cgroup-v1`). The smallest one along the way from the group of this process to the root counts, as far as it
//! can be seen from inside.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Limit;

/// Cores by the quota of CPU time.
pub(super) fn cpu_quota(root: &Path) -> Option<Limit<f64>> {
    let all = groups(root, "cpu").into_iter().filter_map(|(version, group)| {
        let found = match version {
            Version::One => {
                let file = "cpu.cfs_quota_us";
                (file, ratio(&read(root, &group, file)?, &read(root, &group, "cpu.cfs_period_us")?)?)
            }
            Version::Two => {
                let file = "cpu.max";
                let text = read(root, &group, file)?;
                // The period is optional.
                let (quota, period) = text.split_once(' ').unwrap_or((&text, "100000"));
                (file, ratio(quota, period)?)
            }
        };
        Some(Limit { value: found.1, file: group.join(found.0) })
    });
    all.min_by(|one, other| one.value.total_cmp(&other.value))
}

/// Bytes of memory.
pub(super) fn memory(root: &Path) -> Option<Limit<u64>> {
    let all = groups(root, "memory").into_iter().filter_map(|(version, group)| {
        let file = match version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        let value = read(root, &group, file)?.parse().ok()?;
        (value < UNLIMITED).then(|| Limit { value, file: group.join(file) })
    });
    all.min_by_key(|limit| limit.value)
}

/// In version 1 no limit is the largest number that is a multiple of the page's size; more than this is no limit.
const UNLIMITED: u64 = 1 << 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A hierarchy as it is mounted.
#[derive(Debug)]
struct Mount {
    version: Version,
    /// The group that is mounted.
    root: String,
    /// Where.
    point: PathBuf,
}

/// Folders of the group of this process and of all groups around it, in every hierarchy that has this controller.
fn groups(root: &Path, controller: &str) -> Vec<(Version, PathBuf)> {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (memberships, mounts) = (text("proc/self/cgroup"), text("proc/self/mountinfo"));
    let mut groups = Vec::new();
    for (version, own) in memberships.lines().filter_map(|line| membership(line, controller)) {
        let mounts = mounts.lines().filter_map(|line| mount(line, controller));
        for mount in mounts.filter(|mount| mount.version == version) {
            let inside = inside(&mount.root, own);
            let around = inside.ancestors().map(|group| (version, mount.point.join(group)));
            groups.extend(around);
        }
    }
    groups
}

/// The group in a line of `/proc/self/cgroup`: `4:cpu,cpuacct:/a/b` or `0::/a/b`.
fn membership<'a>(line: &'a str, controller: &str) -> Option<(Version, &'a str)> {
    let mut fields = line.splitn(3, ':');
    let (id, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
    if controllers.split(',').any(|name| name == controller) {
        return Some((Version::One, group));
    }
    (id == "0" && controllers.is_empty()).then_some((Version::Two, group))
}

/// A line of `/proc/self/mountinfo`: `36 35 98:0 /root /mount/point rw,noatime shared:1 - cgroup cgroup rw,cpu,cpuacct`.
fn mount(line: &str, controller: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let (root, point) = (unescaped(fields.next()?), unescaped(fields.next()?));
    let mut fields = after.split(' ');
    let (kind, options) = (fields.next()?, fields.nth(1)?);
    let version = match kind {
        "cgroup2" => Version::Two,
        "cgroup" if options.split(',').any(|option| option == controller) => Version::One,
        _ => return None,
    };
    Some(Mount { version, root, point: point.into() })
}

/// Spaces and the like are octal numbers.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The group relative to where its hierarchy is mounted. A group that is not below that is not visible, as in a container
/// that has the mounts of its host: what is mounted is its own then.
fn inside(mounted: &str, own: &str) -> PathBuf {
    let inside = Path::new(own).strip_prefix(mounted).unwrap_or_else(|_| Path::new(""));
    let is_below = inside.components().all(|part| matches!(part, Component::Normal(_)));
    if is_below { inside.to_owned() } else { PathBuf::new() }
}

/// A file of a group.
fn read(root: &Path, group: &Path, file: &str) -> Option<String> {
    let group = group.strip_prefix("/").unwrap_or(group);
    Some(fs::read_to_string(root.join(group).join(file)).ok()?.trim().to_owned())
}

/// A quota in a period; none of `max` and -1, and none of what cannot be read.
fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0 && quota.is_finite()).then(|| quota / period)
}
