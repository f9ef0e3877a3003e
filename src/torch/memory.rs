//! The peak of this process's memory, as the kernel counts it.

use std::fs;

/// Lets the peak start anew. Where that is not allowed, it is the peak since the start.
pub fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The peak in bytes, 0 if unknown.
#[must_use]
pub fn peak() -> u64 {
    fs::read_to_string("/proc/self/status").ok().and_then(|status| parse(&status)).unwrap_or(0)
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read() {
        assert_eq!(parse("Name:\tx\nVmHWM:\t  113280 kB\nVmRSS:\t 1 kB\n"), Some(115_998_720));
        assert_eq!(parse("Name:\tx\n"), None);
        assert!(peak() > 0);
    }
}
