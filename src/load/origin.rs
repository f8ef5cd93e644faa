//! Which program tests, on which machine: what figures cannot be compared without.

use std::fs;

use super::outcome::{Machine, Origin, VERSION};

/// This program, on this machine.
pub fn origin() -> Origin {
    Origin {
        load_test: VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("PATCHCORD_COMMIT").map(str::to_owned),
        build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        machine: machine(),
    }
}

/// By `/proc` (Linux, proc(5)); elsewhere only what the compiler knew.
fn machine() -> Machine {
    let read = |name: &str| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
    let cpus = read("cpuinfo");
    Machine {
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        kernel: Some(read("sys/kernel/osrelease").trim().to_owned()).filter(|text| !text.is_empty()),
        cpu: cpu(&cpus),
        cores: u32::try_from(cpus.lines().filter(|line| line.starts_with("processor")).count())
            .ok()
            .filter(|cores| *cores > 0),
        memory_bytes: memory_bytes(&read("meminfo")),
    }
}

/// The model: x86 names it, arm64 numbers its parts, boards say what they are.
fn cpu(cpus: &str) -> Option<String> {
    let value = |name: &str| {
        let mut fields = cpus.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let part =
        || Some(format!("CPU of implementer {}, part {}", value("CPU implementer")?, value("CPU part")?));
    let named = ["model name", "Hardware", "cpu model", "cpu", "uarch"].into_iter().find_map(value);
    named.filter(|name| !name.is_empty()).or_else(part)
}

fn memory_bytes(memory: &str) -> Option<u64> {
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::x86("processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7B13\n", Some("AMD EPYC 7B13"))]
    #[case::arm64(
        "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n",
        Some("CPU of implementer 0x41, part 0xd0c")
    )]
    #[case::raspberry("processor: 0\nHardware\t: BCM2711\n", Some("BCM2711"))]
    #[case::power("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n", Some("POWER9, altivec supported"))]
    #[case::riscv("processor\t: 0\nuarch\t\t: sifive,u74-mc\n", Some("sifive,u74-mc"))]
    #[case::unknown("", None)]
    fn a_processor_has_a_name_on_every_architecture(#[case] cpus: &str, #[case] expected: Option<&str>) {
        assert_eq!(cpu(cpus).as_deref(), expected);
    }

    #[rstest]
    #[case("MemFree: 1 kB\nMemTotal:       32000 kB\n", Some(32_768_000))]
    #[case("MemTotal: many", None)]
    fn memory_is_read_in_bytes(#[case] text: &str, #[case] expected: Option<u64>) {
        assert_eq!(memory_bytes(text), expected);
    }

    #[test]
    fn this_program_knows_itself() {
        let origin = origin();
        assert_eq!((origin.load_test, origin.version.as_str()), (VERSION, env!("CARGO_PKG_VERSION")));
        assert!(origin.program().starts_with("patchcord 0."), "{}", origin.program());
    }
}
