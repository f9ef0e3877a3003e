//! Devices: which there are, and how the CUDA part of libtorch comes into the process.
//!
//! The program links to CPU libraries only, so that one binary runs everywhere. Where the set-up
//! fetched the CUDA libraries too, they are opened here, by absolute path, before libtorch looks
//! for devices; they register themselves.

use std::collections::HashSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::{Cuda, Device};

use super::TorchError;
use crate::paths;

/// What a GPU needs, in the order in which they are opened.
const NEEDED: [&str; 2] = ["libc10_cuda.so", "libtorch_cuda.so"];
/// Opened here because libtorch would look for them by name only, when it first needs them.
const WELCOME: [&str; 2] = ["libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so"];
/// Signs of a driver.
const DRIVERS: [&str; 2] = ["/proc/driver/nvidia/version", "/dev/dxg"];

/// What cannot be looked at cannot be loaded.
fn is_there(path: &Path) -> bool {
    matches!(paths::is_there(path), Ok(true))
}

/// Opens the CUDA libraries beside libtorch, if there are any and this machine has a GPU.
///
/// `QTRAIL_CUDA=0` keeps them out, `QTRAIL_CUDA=1` opens them without looking for a GPU.
///
/// # Errors
/// What the loader says. The CPU can be used all the same.
pub fn open_cuda() -> Result<(), libloading::Error> {
    #[expect(clippy::disallowed_methods, reason = "a trainer has no other settings")]
    let wanted = match env::var_os("QTRAIL_CUDA") {
        Some(told) => told == OsStr::new("1"),
        None => DRIVERS.iter().any(|sign| is_there(Path::new(sign))),
    };
    let Some(folder) = libtorch_folder().filter(|_| wanted) else { return Ok(()) };
    // Set-up puts them into a folder beside `lib`, a copy of one's own may have them in it.
    let candidates = [folder.with_file_name("cuda"), folder];
    let Some(folder) = candidates.into_iter().find(|folder| is_there(&folder.join(NEEDED[1])))
    else {
        return Ok(());
    };
    for library in NEEDED {
        open_for_good(&folder.join(library))?;
    }
    for library in WELCOME {
        let _ = open_for_good(&folder.join(library));
    }
    Ok(())
}

/// Opens a library for the rest of the process, its symbols visible to all.
fn open_for_good(path: &Path) -> Result<(), libloading::Error> {
    // SAFETY: the library's initialisers run. They are those of libtorch itself, of the version
    // that this program is linked to, and run before any thread but this one uses libtorch.
    #[allow(unsafe_code)]
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }?;
    std::mem::forget(library); // closing it would pull the code from under libtorch
    Ok(())
}

/// The folder that the running process has libtorch from: the loader knows best.
fn libtorch_folder() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().find_map(|line| {
        let path = line.get(line.find('/')?..)?;
        path.ends_with("/libtorch_cpu.so").then(|| PathBuf::from(path))
    });
    path?.parent().map(Path::to_owned)
}

/// Free memory of the GPU in use and all of it, in bytes, as the CUDA runtime says that libtorch
/// brought along.
#[must_use]
pub fn cuda_memory() -> Option<(u64, u64)> {
    type MemoryInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> std::ffi::c_int;
    let (mut free, mut all) = (0, 0);
    // SAFETY: the runtime's function has had this signature since its first version; it writes two
    // numbers of the size of a pointer to where it is told, and nothing else.
    #[allow(unsafe_code)]
    let answer = unsafe {
        let library = Library::this();
        let info = library.get::<MemoryInfo>(b"cudaMemGetInfo\0").ok()?;
        info(&raw mut free, &raw mut all)
    };
    (answer == 0).then_some((free as u64, all as u64))
}

/// Name and version of the numerical library.
#[must_use]
pub fn library() -> String {
    let read = |folder: PathBuf| fs::read_to_string(folder.with_file_name("build-version")).ok();
    let version = libtorch_folder().and_then(read);
    format!("libtorch {}", version.as_deref().map_or("of unknown version", str::trim))
}

/// All devices, best first.
#[must_use]
pub fn names() -> Vec<String> {
    let gpus = (0..Cuda::device_count()).map(|number| format!("cuda:{number}"));
    gpus.chain(["cpu".to_owned()]).collect()
}

/// The device called `name`.
///
/// # Errors
/// [`TorchError::Request`] if there is none.
pub fn named(name: &str) -> Result<Device, TorchError> {
    let known = names();
    if !known.iter().any(|known| known == name) {
        let known = known.join(", ");
        return Err(TorchError::Request(format!("there is no device `{name}`, only {known}")));
    }
    let number = name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
    Ok(number.map_or(Device::Cpu, Device::Cuda))
}

/// The devices that have instructions for bfloat16: every GPU, and a CPU if it says so. Older GPUs than
/// Ampere have none; libtorch does not say which one it is through these bindings.
#[must_use]
pub fn with_bf16() -> Vec<String> {
    let mut devices = names();
    devices.retain(|device| device != "cpu" || cpu_has_bf16());
    devices
}

/// Whether oneDNN has instructions for products in bfloat16. Every processor with AMX has these too.
fn cpu_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// The instruction set of libtorch's CPU kernels: results differ between them in the last bits.
#[must_use]
pub fn instruction_set() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let has_512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        let has_256 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match (has_512 && has_256, has_256) {
            (true, _) => "avx512".to_owned(),
            (_, true) => "avx2".to_owned(),
            _ => "sse2".to_owned(),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    env::consts::ARCH.to_owned()
}

/// Threads that suit this machine: one a physical core, as two on one core take turns in the
/// vector units, and no more than this process may use.
#[must_use]
pub fn physical_cores() -> u32 {
    let allowed = thread::available_parallelism().map_or(1, usize::from);
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = Some(count_cores(&cpus)).filter(|&cores| cores > 0).unwrap_or(allowed);
    u32::try_from(cores.min(allowed)).unwrap_or(1)
}

/// Different (physical id, core id) in the kernel's list of processors.
fn count_cores(cpus: &str) -> usize {
    let field = |line: &str, name: &str| -> Option<String> {
        let value = line.strip_prefix(name)?.trim_start().strip_prefix(':')?;
        Some(value.trim().to_owned())
    };
    let core = |cpu: &str| {
        let find = |name| cpu.lines().find_map(|line| field(line, name));
        Some((find("physical id")?, find("core id")?))
    };
    cpus.split("\n\n").filter_map(core).collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there_and_last() {
        assert_eq!(names().last().map(String::as_str), Some("cpu"));
        assert_eq!(named("cpu").unwrap(), Device::Cpu);
        let error = named("cuda:99").unwrap_err().to_string();
        assert!(error.starts_with("there is no device `cuda:99`, only "), "{error}");
    }

    /// What the kernel says of this processor.
    #[test]
    fn bf16_is_where_the_processor_has_it() {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags =
            cpus.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
        let mut flags = flags.unwrap_or_default().split_whitespace();
        let has = flags.any(|flag| ["avx512_bf16", "bf16"].contains(&flag));
        assert_eq!(with_bf16().contains(&"cpu".to_owned()), has);
        assert!(names().iter().filter(|name| *name != "cpu").all(|gpu| with_bf16().contains(gpu)));
    }

    #[test]
    fn hyperthreads_are_no_cores() {
        let cpu = |physical, core| format!("physical id\t: {physical}\ncore id\t\t: {core}\n\n");
        let cpus: String = [cpu(0, 0), cpu(0, 1), cpu(0, 0), cpu(0, 1), cpu(1, 0)].concat();
        assert_eq!(count_cores(&cpus), 3);
        assert_eq!(count_cores("processor : 0\n"), 0);
        assert!(physical_cores() >= 1);
    }

    #[test]
    fn libtorch_is_where_the_loader_found_it() {
        assert!(is_there(&libtorch_folder().unwrap().join("libtorch_cpu.so")));
    }
}
