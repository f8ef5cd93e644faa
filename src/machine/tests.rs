//! Trees of files as kernels and containers show them.

use std::fs;

use rstest::rstest;

use super::*;

/// `path: text` on each line; `|` is a line feed.
fn machine(files: &str, cores: u32) -> Machine {
    let root = tempfile::tempdir().unwrap();
    for line in files.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (path, text) = line.split_once(": ").unwrap();
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace('|', "\n") + "\n").unwrap();
    }
    Machine::at(root.path(), cores)
}

const V2: &str =
    "proc/self/mountinfo: 30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

const V1: &str = "proc/self/mountinfo: 31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct|32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

#[rstest]
#[case::none(V2, "proc/self/cgroup: 0::/", None)]
#[case::max(V2, "proc/self/cgroup: 0::/a\nsys/fs/cgroup/a/cpu.max: max 100000", None)]
#[case::a_container_in_its_own_namespace(
    V2,
    "proc/self/cgroup: 0::/\nsys/fs/cgroup/cpu.max: 10000 100000",
    Some((0.1, "/sys/fs/cgroup/cpu.max"))
)]
#[case::a_service_of_systemd(
    V2,
    "proc/self/cgroup: 0::/system.slice/patchcord.service\nsys/fs/cgroup/system.slice/cpu.max: max 100000\nsys/fs/cgroup/system.slice/patchcord.service/cpu.max: 150000 100000",
    Some((1.5, "/sys/fs/cgroup/system.slice/patchcord.service/cpu.max"))
)]
#[case::the_smallest_is_above(
    V2,
    "proc/self/cgroup: 0::/pod/container\nsys/fs/cgroup/pod/cpu.max: 25000 100000\nsys/fs/cgroup/pod/container/cpu.max: 200000 100000",
    Some((0.25, "/sys/fs/cgroup/pod/cpu.max"))
)]
#[case::the_inner_one_has_no_controller(
    V2,
    "proc/self/cgroup: 0::/pod/container/leaf\nsys/fs/cgroup/pod/container/cpu.max: 50000 100000",
    Some((0.5, "/sys/fs/cgroup/pod/container/cpu.max"))
)]
#[case::another_period(V2, "proc/self/cgroup: 0::/\nsys/fs/cgroup/cpu.max: 2000 10000", Some((0.2, "/sys/fs/cgroup/cpu.max")))]
#[case::the_period_is_not_told(V2, "proc/self/cgroup: 0::/\nsys/fs/cgroup/cpu.max: 30000", Some((0.3, "/sys/fs/cgroup/cpu.max")))]
#[case::more_than_there_is(V2, "proc/self/cgroup: 0::/\nsys/fs/cgroup/cpu.max: 900000 100000", None)]
#[case::unreadable(V2, "proc/self/cgroup: 0::/\nsys/fs/cgroup/cpu.max: lots of it", None)]
#[case::a_period_of_zero(V2, "proc/self/cgroup: 0::/\nsys/fs/cgroup/cpu.max: 1000 0", None)]
#[case::a_group_outside_the_namespace(
    V2,
    "proc/self/cgroup: 0::/../../other\nsys/fs/cgroup/cpu.max: 40000 100000",
    Some((0.4, "/sys/fs/cgroup/cpu.max"))
)]
#[case::without_a_namespace_only_the_own_group_is_mounted(
    "proc/self/mountinfo: 30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n",
    "proc/self/cgroup: 0::/docker/abc\nsys/fs/cgroup/cpu.max: 70000 100000",
    Some((0.7, "/sys/fs/cgroup/cpu.max"))
)]
#[case::a_mount_point_with_a_space(
    "proc/self/mountinfo: 30 23 0:26 / /mnt/control\\040groups rw - cgroup2 none rw\n",
    "proc/self/cgroup: 0::/\nmnt/control groups/cpu.max: 10000 100000",
    Some((0.1, "/mnt/control groups/cpu.max"))
)]
#[case::version_1(
    V1,
    "proc/self/cgroup: 4:cpu,cpuacct:/a|3:memory:/a\nsys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us: 10000\nsys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us: 100000",
    Some((0.1, "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us"))
)]
#[case::version_1_without_a_quota(
    V1,
    "proc/self/cgroup: 4:cpu,cpuacct:/a\nsys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us: -1\nsys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us: 100000",
    None
)]
#[case::version_1_of_docker(
    "proc/self/mountinfo: 31 23 0:27 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n",
    "proc/self/cgroup: 1:cpu:/docker/abc\nsys/fs/cgroup/cpu/cpu.cfs_quota_us: 20000\nsys/fs/cgroup/cpu/cpu.cfs_period_us: 50000",
    Some((0.4, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
)]
#[case::version_1_the_smallest_is_above(
    V1,
    "proc/self/cgroup: 4:cpu,cpuacct:/kubepods/pod1/c\nsys/fs/cgroup/cpu,cpuacct/kubepods/pod1/cpu.cfs_quota_us: 30000\nsys/fs/cgroup/cpu,cpuacct/kubepods/pod1/cpu.cfs_period_us: 100000\nsys/fs/cgroup/cpu,cpuacct/kubepods/pod1/c/cpu.cfs_quota_us: -1\nsys/fs/cgroup/cpu,cpuacct/kubepods/pod1/c/cpu.cfs_period_us: 100000",
    Some((0.3, "/sys/fs/cgroup/cpu,cpuacct/kubepods/pod1/cpu.cfs_quota_us"))
)]
#[case::both_versions_the_controller_is_with_the_first(
    "proc/self/mountinfo: 31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu|32 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
    "proc/self/cgroup: 1:cpu:/t|0::/\nsys/fs/cgroup/cpu/t/cpu.cfs_quota_us: 10000\nsys/fs/cgroup/cpu/t/cpu.cfs_period_us: 100000",
    Some((0.1, "/sys/fs/cgroup/cpu/t/cpu.cfs_quota_us"))
)]
#[case::only_accounting_is_mounted(
    "proc/self/mountinfo: 31 23 0:27 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n",
    "proc/self/cgroup: 2:cpuacct:/\nsys/fs/cgroup/cpuacct/cpu.cfs_quota_us: 10000\nsys/fs/cgroup/cpuacct/cpu.cfs_period_us: 100000",
    None
)]
#[case::nothing_is_mounted("", "proc/self/cgroup: 0::/", None)]
#[case::no_proc("", "", None)]
fn the_quota_of_the_control_group_counts(
    #[case] mounts: &str,
    #[case] groups: &str,
    #[case] expected: Option<(f64, &str)>,
) {
    let found = machine(&format!("{mounts}{groups}"), 4).quota;
    let expected = expected.map(|(value, file)| Limit { value, file: file.into() });
    assert_eq!(found, expected);
}

#[rstest]
#[case::none(V2, "proc/self/cgroup: 0::/a", None)]
#[case::max(V2, "proc/self/cgroup: 0::/a\nsys/fs/cgroup/a/memory.max: max", None)]
#[case::version_2(V2, "proc/self/cgroup: 0::/\nsys/fs/cgroup/memory.max: 134217728", Some((128, "/sys/fs/cgroup/memory.max")))]
#[case::the_smallest(
    V2,
    "proc/self/cgroup: 0::/a/b\nsys/fs/cgroup/a/memory.max: 268435456\nsys/fs/cgroup/a/b/memory.max: 1073741824",
    Some((256, "/sys/fs/cgroup/a/memory.max"))
)]
#[case::version_1(V1, "proc/self/cgroup: 3:memory:/a\nsys/fs/cgroup/memory/a/memory.limit_in_bytes: 67108864", Some((64, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes")))]
#[case::version_1_without(
    V1,
    "proc/self/cgroup: 3:memory:/\nsys/fs/cgroup/memory/memory.limit_in_bytes: 9223372036854771712",
    None
)]
fn the_memory_of_the_control_group_counts(
    #[case] mounts: &str,
    #[case] groups: &str,
    #[case] expected: Option<(u64, &str)>,
) {
    let found = machine(&format!("{mounts}{groups}"), 4).memory;
    let expected = expected.map(|(mib, file)| Limit { value: mib << 20, file: file.into() });
    assert_eq!(found, expected);
}

#[rstest]
#[case(4, None, 4)]
#[case(1, None, 1)]
#[case(4, Some(0.1), 1)]
#[case(4, Some(1.0), 1)]
#[case(4, Some(1.5), 2)]
#[case(64, Some(2.0), 2)]
#[case(2, Some(1.999), 2)]
fn workers_use_a_quota_up_and_no_more(
    #[case] cores: u32,
    #[case] quota: Option<f64>,
    #[case] expected: usize,
) {
    let quota = quota.map(|value| Limit { value, file: "cpu.max".into() });
    assert_eq!(Machine { cores, quota, memory: None }.workers(), expected);
}

#[test]
fn what_was_found_is_said_with_its_place() {
    let files = format!(
        "{V2}proc/self/cgroup: 0::/\nsys/fs/cgroup/cpu.max: 25000 100000\nsys/fs/cgroup/memory.max: 134217728"
    );
    assert_eq!(
        machine(&files, 8).to_string(),
        "8 cores, of which 0.25 by /sys/fs/cgroup/cpu.max; 128 MiB of memory by /sys/fs/cgroup/memory.max"
    );
    assert_eq!(machine(V2, 1).to_string(), "1 core");
}

#[test]
fn this_machine_has_at_least_one_core() {
    let this = Machine::this();
    assert!(this.cores >= 1 && this.cpu() > 0.0 && this.workers() >= 1);
}
