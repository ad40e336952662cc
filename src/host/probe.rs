//! Whether an address could be listened on, and who is in the way: for `midge check`.
//!
//! TCP addresses are bound and listened on for a moment, all of a configuration at a time, so that
//! two of its listeners that exclude each other are found as well. Of unix sockets only the path is
//! looked at: a start replaces what a dead broker left there.

use super::access::folder_above;
use super::listen::{Address, Bind, is_served, is_unsupported, resolve};
use nix::unistd::{AccessFlags, access};
use socket2::Socket;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Another process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The name of its program.
    pub name: String,
    /// Its arguments, separated by blanks.
    pub arguments: String,
}

/// Sockets that are held until all were tried.
#[derive(Default)]
pub struct Probe {
    held: Vec<Socket>,
}

impl Probe {
    /// Tries an address; what is in the way of each of its sockets, if anything is.
    pub fn try_address(&mut self, address: &Address) -> Vec<io::Error> {
        let (host, port) = match &address.bind {
            Bind::Unix(path) => return try_path(path).err().into_iter().collect(),
            Bind::Tcp { host, port } => (host, *port),
        };
        let addresses = match resolve(host.as_deref(), port) {
            Ok(addresses) => addresses,
            Err(error) => return vec![error],
        };
        let wanted = addresses.into_iter().filter(|found| {
            let only = address.only_ipv6;
            only.is_none_or(|only_ipv6| found.is_ipv6() == only_ipv6)
        });
        let mut errors = Vec::new();
        for found in wanted {
            let socket = address.socket(found).and_then(|socket| {
                socket.bind(&found.into())?;
                socket.listen(1).map(|()| socket)
            });
            match socket {
                Ok(socket) => self.held.push(socket),
                Err(error) if host.is_none() && found.is_ipv6() && is_unsupported(&error) => {}
                Err(error) => errors.push(error),
            }
        }
        errors
    }
}

fn try_path(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something else than a socket is there",
        )),
        Ok(_) if is_served(path) => Err(io::ErrorKind::AddrInUse.into()),
        _ => access(folder_above(path), AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(io::Error::from),
    }
}

/// The process that listens on a TCP port, as far as we may know: only root sees those of others.
/// We come last, for a probe holds ports itself.
pub fn holder_of(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let own = std::process::id();
    let found = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| *pid != own && holds_one_of(*pid, &inodes));
    let found = found.or_else(|| holds_one_of(own, &inodes).then_some(own));
    found.map(process)
}

/// The inodes of listening sockets on this port: the fields are in `proc(5)`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let ending = format!(":{port:04X}");
    let lines = table.lines().map(str::split_whitespace);
    lines
        .filter_map(|mut fields| {
            let (local, state) = (fields.nth(1)?, fields.nth(1)?);
            (local.ends_with(&ending) && state == "0A").then(|| fields.nth(5))?
        })
        .map(str::to_owned)
        .collect()
}

fn holds_one_of(pid: u32, sockets: &[String]) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let targets = entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    let mut targets = targets.filter_map(|target| target.into_os_string().into_string().ok());
    targets.any(|target| sockets.contains(&target))
}

/// What is known of a process.
pub fn process(pid: u32) -> Holder {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\0', " ");
    // Of a program that was called through a link the kernel's name is that of the link.
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let program = program.file_name().map(|name| text(name.as_bytes()));
    let program = program.map(|name| name.trim_end_matches(" (deleted)").to_owned());
    Holder {
        pid,
        name: program.unwrap_or_else(|| text(&read("comm"))),
        arguments: text(&read("cmdline")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn who_listens_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let holder = holder_of(port).expect("it is us");
        assert_eq!(holder.pid, std::process::id());
        let address = |port| Address {
            bind: Bind::Tcp {
                host: Some("127.0.0.1".to_string()),
                port,
            },
            interface: None,
            only_ipv6: None,
        };
        let errors = Probe::default().try_address(&address(port));
        assert_eq!(errors[0].kind(), io::ErrorKind::AddrInUse);
        drop(listener);
    }

    #[test]
    fn the_kernels_table_is_read() {
        let line = |local: &str, state: &str, inode: &str| {
            format!(
                "  0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 \
                 {inode} 1 0000 100 0\n"
            )
        };
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n".to_string()
            + &line("0100007F:075B", "0A", "777")
            + &line("0100007F:075B", "01", "778");
        assert_eq!(listening_inodes(&table, 1883), ["777"]);
        assert_eq!(listening_inodes(&table, 1884), [""; 0]);
    }
}
