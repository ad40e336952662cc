//! How much memory there is, and how much the process uses, as the kernel tells it.

use std::fs::{self, File};
use std::io::Read;

/// What clients may make the broker hold on a machine of which nothing is known, and at least.
const LIMIT_MIN: u64 = 16_000_000;
/// The same at most.
const LIMIT_MAX: u64 = 256_000_000;

/// What stays free of what could be taken for a while: others need some, too.
const SPARE: u64 = 4 << 20;

/// What clients may make the broker hold where nothing is configured: a quarter of the memory that
/// the machine or our control group has, within bounds.
pub fn default_limit() -> u64 {
    let machine = line_bytes(&read("/proc/meminfo"), "MemTotal:");
    quarter(machine.into_iter().chain(group_limit()).min())
}

/// Bytes that can be taken for a while without the kernel ending a process for want of memory. It
/// gives memory that it does not have, and ends somebody when that is written to.
pub fn available() -> u64 {
    let meminfo = read("/proc/meminfo");
    let swap = line_bytes(&meminfo, "SwapFree:").unwrap_or(0);
    let machine = line_bytes(&meminfo, "MemAvailable:").map(|bytes| bytes + swap);
    let used = resident_bytes().unwrap_or(0);
    let group = group_limit().map(|limit| limit.saturating_sub(used));
    let least = machine.into_iter().chain(group).min();
    least.map_or(u64::MAX, |bytes| bytes.saturating_sub(SPARE))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What our control group allows.
fn group_limit() -> Option<u64> {
    let cgroup = read("/proc/self/cgroup");
    let group = group_path(&cgroup);
    let groups = [
        format!("/sys/fs/cgroup{}/memory.max", group.unwrap_or_default()),
        "/sys/fs/cgroup/memory.max".to_string(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_string(),
    ];
    // Where there is no limit, it says "max", or a number beyond any machine.
    let allowed = groups
        .iter()
        .filter_map(|path| read(path).trim().parse().ok());
    allowed.min()
}

fn quarter(bytes: Option<u64>) -> u64 {
    bytes.map_or(LIMIT_MIN, |bytes| (bytes / 4).clamp(LIMIT_MIN, LIMIT_MAX))
}

/// What `/proc/meminfo` says in the line of this name, in KiB.
fn line_bytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Our control group in the one hierarchy of today's systems.
fn group_path(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Bytes of memory that the process has in use (its resident set); `None` where there is no /proc.
pub fn resident_bytes() -> Option<u64> {
    let mut buffer = [0; 128];
    let len = File::open("/proc/self/statm")
        .ok()?
        .read(&mut buffer)
        .ok()?;
    let pages = resident_pages(std::str::from_utf8(&buffer[..len]).ok()?)?;
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * u64::try_from(page_bytes).ok()?)
}

/// The second number: total, resident, shared, and more.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_machine_is_for_clients() {
        assert_eq!(
            line_bytes("MemTotal:         512000 kB\nMemFree: 1 kB\n", "MemTotal:"),
            Some(524_288_000)
        );
        assert_eq!(line_bytes("MemFree: 1 kB\n", "MemTotal:"), None);
        assert_eq!(
            group_path("1:cpu:/x\n0::/system.slice/a.service\n"),
            Some("/system.slice/a.service")
        );
        assert_eq!(quarter(None), LIMIT_MIN);
        assert_eq!(quarter(Some(32_000_000)), LIMIT_MIN);
        assert_eq!(quarter(Some(400_000_000)), 100_000_000);
        assert_eq!(quarter(Some(u64::MAX)), LIMIT_MAX);
        assert!((LIMIT_MIN..=LIMIT_MAX).contains(&default_limit()));
    }

    #[test]
    fn some_of_the_machine_can_be_taken() {
        let machine = line_bytes(&read("/proc/meminfo"), "MemTotal:").expect("Linux has /proc");
        assert!((1..machine).contains(&available()));
    }

    #[test]
    fn the_resident_set_is_read() {
        assert_eq!(resident_pages("1250 310 200 3 0 90 0\n"), Some(310));
        assert_eq!(resident_pages(""), None);
        let bytes = resident_bytes().expect("Linux has /proc");
        assert!(bytes > 100_000, "a process of {bytes} bytes");
    }
}
