//! What the kernel knows about a process: its CPU time, memory and bytes written; and on which
//! core it runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The broker's core and the generator's.
pub const BROKER_CORE: usize = 0;
pub const GENERATOR_CORE: usize = 1;

/// Counters of a process since it began.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// User and system time of all threads, also of those that ended.
    pub cpu: Duration,
    /// Bytes it caused to be sent to the block layer: whole pages.
    pub device: u64,
}

/// The counters of this process id.
pub fn usage(pid: Pid) -> Result<Usage, String> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).map_err(|e| format!("its io: {e}"))?;
    Ok(Usage {
        cpu: cpu(pid)?,
        device: field(&io, "write_bytes:"),
    })
}

/// The CPU time of this process id, of all its threads.
pub fn cpu(pid: Pid) -> Result<Duration, String> {
    clock_getcpuclockid(pid)
        .and_then(clock_gettime)
        .map(Duration::from)
        .map_err(|e| format!("its CPU clock: {e}"))
}

/// The CPU time of the generator itself.
pub fn own_cpu() -> Result<Duration, String> {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map(Duration::from)
        .map_err(|e| format!("own CPU clock: {e}"))
}

/// How often the first thread of this process has waited for something.
pub fn waits(pid: Pid) -> Result<u64, String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|e| format!("its status: {e}"))?;
    Ok(field(&status, "voluntary_ctxt_switches:"))
}

/// How long the first thread of this process was ready to run and did not, since it began.
pub fn delay(pid: Pid) -> Result<Duration, String> {
    let path = format!("/proc/{pid}/task/{pid}/schedstat");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    // Time on the core, time waiting for it, slices.
    let nanos = text.split_whitespace().nth(1);
    let nanos = nanos.and_then(|word| word.parse().ok());
    nanos
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("{path} has no second number"))
}

/// How long a virtual machine's host has kept the broker's core for others, since the start: to a
/// hundredth of a second. Nothing where it does not tell.
pub fn stolen() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let name = format!("cpu{BROKER_CORE} ");
    // User, nice, system, idle, waiting, interrupts, soft interrupts, stolen; in ticks of 10 ms.
    let core = text.lines().find_map(|line| line.strip_prefix(&name));
    let ticks = core.and_then(|fields| fields.split_whitespace().nth(7)?.parse::<u64>().ok());
    Duration::from_millis(ticks.unwrap_or(0) * 10)
}

/// Virtual memory in bytes.
pub fn virtual_bytes(pid: Pid) -> Result<u64, String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|e| format!("its status: {e}"))?;
    Ok(field(&status, "VmSize:") * 1024)
}

/// Raises the limit of open files as far as the system allows, for brokers, too.
pub fn raise_files() -> Result<u64, String> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|e| format!("open files: {e}"))?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|e| format!("open files: {e}"))?;
    Ok(most)
}

/// Resident memory in bytes.
pub fn resident(pid: Pid) -> Result<u64, String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|e| format!("its status: {e}"))?;
    Ok(field(&status, "VmRSS:") * 1024)
}

/// Resident memory in bytes that no file backs: what the process itself wrote. The rest of the
/// resident memory is the program's file, of which the kernel maps more or less as its
/// cache has it.
pub fn anonymous(pid: Pid) -> Result<u64, String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|e| format!("its status: {e}"))?;
    Ok(field(&status, "RssAnon:") * 1024)
}

/// Puts this thread, and every process it starts from now on, on one core. False if the machine
/// has no such core for us.
pub fn pin(core: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(core).is_ok() && sched_setaffinity(Pid::from_raw(0), &set).is_ok()
}

/// Whether both cores are there.
pub fn can_pin() -> bool {
    sched_getaffinity(Pid::from_raw(0)).is_ok_and(|set| {
        set.is_set(BROKER_CORE).unwrap_or(false) && set.is_set(GENERATOR_CORE).unwrap_or(false)
    })
}

/// Bytes on disk below this folder: blocks taken, not lengths.
pub fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}
