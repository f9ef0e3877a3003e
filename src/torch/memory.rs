//! Memory as the kernel counts it: this process's peak, and what the machine has.

use std::fs;

use tch::Device;

use crate::trainer::protocol::MemoryAnswer;

/// Makes the allocator keep what it is given back, until [`forget_peak`]. Tensors of large models have
/// tens of megabytes. By default each of these is mapped and unmapped at every use, and the system
/// zeroes its pages each time: a seventh of the time of gradients of ResNet-18 at 299 x 299 pixels.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep() {
    use std::ffi::c_int;
    #[allow(unsafe_code)]
    unsafe extern "C" {
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }
    /// Free bytes at the end of the heap that are given back to the system.
    const TRIM_THRESHOLD: c_int = -1;
    /// Bytes of a block that is mapped on its own.
    const MMAP_THRESHOLD: c_int = -3;
    for parameter in [TRIM_THRESHOLD, MMAP_THRESHOLD] {
        // SAFETY: a function of the C library that takes two numbers. A value that it does not take
        // changes nothing.
        #[allow(unsafe_code)]
        let _ = unsafe { mallopt(parameter, c_int::MAX) };
    }
}

/// Other allocators keep what they like.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep() {}

/// Lets the peak start anew, with what is in use now: what was freed goes back to the system first.
/// Where that is not allowed, it is the peak since the start.
pub fn forget_peak() {
    give_back();
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The allocator keeps what it was given back; a later trial would be said to use it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    #[allow(unsafe_code)]
    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    // SAFETY: a function of the C library that takes a number and may be called at any time.
    #[allow(unsafe_code)]
    let _ = unsafe { malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

/// The peak in bytes, 0 if unknown.
#[must_use]
pub fn peak() -> u64 {
    read("/proc/self/status", "VmHWM:").unwrap_or(0)
}

/// Memory of the machine in bytes; without limit if unknown.
#[must_use]
pub fn of_machine() -> u64 {
    read("/proc/meminfo", "MemTotal:").unwrap_or(u64::MAX)
}

/// Memory of a device: the peak of this process on a CPU, what is in use on a GPU, where libtorch
/// keeps what it has had. Nothing if it is not known.
#[must_use]
pub fn of_device(device: Device) -> Option<MemoryAnswer> {
    match device {
        Device::Cpu => {
            let free = read("/proc/meminfo", "MemAvailable:")?.min(left_in_group());
            Some(MemoryAnswer { peak: peak(), free }).filter(|memory| memory.peak > 0)
        }
        Device::Cuda(_) => {
            let (free, all) = super::device::cuda_memory()?;
            Some(MemoryAnswer { peak: all.saturating_sub(free), free })
        }
        _ => None,
    }
}

/// What the control group of this process may still take, as containers are limited.
fn left_in_group() -> u64 {
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok()
    };
    let limit = number("memory.max").zip(number("memory.current"));
    limit.map_or(u64::MAX, |(limit, used)| limit.saturating_sub(used))
}

fn read(path: &str, name: &str) -> Option<u64> {
    parse(&fs::read_to_string(path).ok()?, name)
}

fn parse(lines: &str, name: &str) -> Option<u64> {
    let line = lines.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let status = "Name:\tx\nVmHWM:\t  113280 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(parse(status, "VmHWM:"), Some(115_998_720));
        assert_eq!(parse("Name:\tx\n", "VmHWM:"), None);
        assert!(peak() > 0 && peak() < of_machine());
    }
}
