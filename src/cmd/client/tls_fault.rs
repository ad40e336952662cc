//! How TLS can fail, with the exit code and the first line that Mosquitto's clients have for it.

use std::fmt;

use super::exit;

/// When it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A file that a flag names cannot be read.
    Files,
    /// The flags or what is in their files is of no use.
    SetUp,
    /// The handshake: one side does not like what the other says.
    Handshake,
    /// The connection ended during the handshake.
    Cut,
    /// The broker does not answer during the handshake.
    Silence,
    /// After the handshake. In TLS 1.3 a broker refuses the client's certificate only here.
    Open,
}

/// A failure of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    /// When.
    pub stage: Stage,
    /// What happened and what helps, in words: a whole sentence.
    pub why: String,
}

impl TlsFault {
    /// A fault at this stage.
    pub fn new(stage: Stage, why: impl Into<String>) -> TlsFault {
        let why = why.into();
        TlsFault { stage, why }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self.stage {
            Stage::Files | Stage::SetUp | Stage::Open => exit::USAGE,
            Stage::Handshake | Stage::Cut => exit::TLS,
            Stage::Silence => exit::KEEP_ALIVE,
        }
    }
}

impl fmt::Display for TlsFault {
    /// Mosquitto's line, and then ours that says more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match self.stage {
            Stage::Files => "Error: Problem setting TLS options: File not found.",
            Stage::SetUp => "Unable to connect (A TLS error occurred.).",
            Stage::Handshake | Stage::Cut => "Error: A TLS error occurred.",
            Stage::Silence => "Error: The broker does not answer.",
            Stage::Open => "Error: Protocol error",
        };
        write!(f, "{line}\n{}", self.why)
    }
}

impl std::error::Error for TlsFault {}
