//! Where connections come from, for log lines.

use std::fmt;

/// The name of a connection's other end. An IPv4 address and its port are kept as numbers: nearly
/// all are of that kind, and this way they need no memory of their own.
#[derive(Clone, Debug)]
pub enum Origin {
    /// An IPv4 address and its port.
    V4([u8; 4], u16),
    /// Whatever stands for another kind of address.
    Text(Box<Box<str>>),
}

impl Origin {
    /// The same without the port.
    pub fn host(&self) -> String {
        let text = self.to_string();
        let host = text.rsplit_once(':').map(|(host, _)| host.to_owned());
        host.unwrap_or(text)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::V4(ip, port) => write!(f, "{}.{}.{}.{}:{port}", ip[0], ip[1], ip[2], ip[3]),
            Origin::Text(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Origin {
    fn from(text: &str) -> Origin {
        Origin::Text(Box::new(text.into()))
    }
}
