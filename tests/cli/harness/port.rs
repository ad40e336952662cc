//! Free TCP ports, leased: two tests never get the same one, not even from two processes.
//!
//! The ports lie below the range from which the kernel takes outgoing ones. A UDP socket of the
//! same number is the lease: TCP does not see it, other test processes do.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

pub struct Port {
    pub number: u16,
    _lease: UdpSocket,
}

impl Port {
    pub fn lease() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = (process::id() % u32::from(COUNT)) as u16;
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + (start.wrapping_add(step) % COUNT);
            let Ok(lease) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else {
                continue;
            };
            if is_free(number) {
                return Self {
                    number,
                    _lease: lease,
                };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }
}

/// Bound, but never listening: a child that another test forks just now would hold a listening
/// socket for a moment longer than we do.
fn is_free(number: u16) -> bool {
    let mut places = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, number))];
    if has_ipv6() {
        places.push(SocketAddr::from((Ipv6Addr::LOCALHOST, number)));
    }
    places.into_iter().all(|place| {
        let socket = Socket::new(Domain::for_address(place), Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&place.into()).is_ok()
    })
}

pub fn has_ipv6() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok())
}
