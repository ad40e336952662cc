//! How much memory the process uses, as the kernel tells it.

use std::fs::File;
use std::io::Read;

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
    fn the_resident_set_is_read() {
        assert_eq!(resident_pages("1250 310 200 3 0 90 0\n"), Some(310));
        assert_eq!(resident_pages(""), None);
        let bytes = resident_bytes().expect("Linux has /proc");
        assert!(bytes > 100_000, "a process of {bytes} bytes");
    }
}
