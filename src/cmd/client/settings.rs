//! What the user of a client asked for: the flags' meaning, with Mosquitto's defaults.

use std::path::PathBuf;
use std::time::Duration;

use super::Tool;
use super::format::Format;
use super::properties::PropertySets;
use super::url::Proxy;
use crate::wire::{self, QoS, RetainHandling, Version};

/// Digits of the largest process id, which follows the prefix of `-I`.
const PID_DIGITS: usize = 10;

/// Everything that flags and option files can say. One field for each, named after what it means.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which of the three clients this is for.
    pub tool: Tool,
    /// `-A`: the local address to connect from.
    pub bind_address: Option<String>,
    /// `-c`: without it the session ends with the connection.
    pub clean_start: bool,
    /// `-C`: end after so many messages.
    pub message_count: Option<u32>,
    /// `-d`: trace packets on standard output.
    pub debug: bool,
    /// `-D`: properties by packet.
    pub properties: PropertySets,
    /// `-e`: the response topic.
    pub response_topic: Option<String>,
    /// `-E`: end once the subscriptions are acknowledged.
    pub exit_after_subscribe: bool,
    /// `-f -l -m -n -s`: where the message comes from.
    pub input: Option<Input>,
    /// Whether there was more than one of these.
    pub input_twice: bool,
    /// `-F`: how a message is printed.
    pub format: Option<Format>,
    /// `-h`.
    pub host: String,
    /// `--unix`: a socket instead of host and port.
    pub unix: Option<PathBuf>,
    /// `-i`.
    pub id: Option<String>,
    /// `-I`.
    pub id_prefix: Option<String>,
    /// `-k`, in seconds.
    pub keep_alive_s: u16,
    /// `--latency`.
    pub latency: bool,
    /// `-M`.
    pub inflight_max: u16,
    /// `--message-rate`.
    pub message_rate: bool,
    /// Without `-N`: a line end after each message.
    pub newline: bool,
    /// `--nodelay`.
    pub nodelay: bool,
    /// `--no-tls`.
    pub no_tls: bool,
    /// `-p`, or from a URL.
    pub port: Option<u16>,
    /// `-P`.
    pub password: Option<Vec<u8>>,
    /// `--pretty`.
    pub pretty: bool,
    /// `--proxy`.
    pub proxy: Option<Proxy>,
    /// `-q`.
    pub qos: QoS,
    /// `--quiet`.
    pub quiet: bool,
    /// `-r`.
    pub retain: bool,
    /// `-R`.
    pub skip_retained: bool,
    /// `--random-filter`: how many of a million messages are printed.
    pub random_filter_ppm: u64,
    /// `--remove-retained`.
    pub remove_retained: bool,
    /// `--repeat`.
    pub repeat: u32,
    /// `--repeat-delay`.
    pub repeat_delay: Duration,
    /// `--retain-as-published`.
    pub retain_as_published: bool,
    /// `--retain-handling`, or never with `-R`.
    pub retain_handling: RetainHandling,
    /// `--retained-only`.
    pub retained_only: bool,
    /// `-x`, in seconds.
    pub session_expiry_s: Option<u32>,
    /// `-t`, or from a URL.
    pub topics: Vec<String>,
    /// `-T`.
    pub filter_out: Vec<String>,
    /// `-U`.
    pub unsubscribe: Vec<String>,
    /// `-u`.
    pub username: Option<String>,
    /// `-v`.
    pub verbose: bool,
    /// `-V`.
    pub version: Version,
    /// `-w`.
    pub watch: bool,
    /// `-W`, in seconds.
    pub timeout_s: Option<u32>,
    /// `--will-topic`.
    pub will_topic: Option<String>,
    /// `--will-payload`.
    pub will_payload: Option<Vec<u8>>,
    /// `--will-qos`.
    pub will_qos: QoS,
    /// `--will-retain`.
    pub will_retain: bool,
    /// What the flags say about TLS.
    pub tls: TlsSettings,
    /// The first flag or URL that asks for something that this build does not have.
    pub missing: Option<&'static str>,
}

/// What the flags of TLS say.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// The first of these flags, or the URL.
    pub flag: Option<String>,
    /// A flag that no build has, and why.
    pub refused: Option<String>,
    /// `-L mqtts://`
    pub url: bool,
    /// `--cafile`
    pub cafile: Option<PathBuf>,
    /// `--capath`
    pub capath: Option<PathBuf>,
    /// `--cert`
    pub cert: Option<PathBuf>,
    /// `--key`
    pub key: Option<PathBuf>,
    /// `--keyform`; only `pem` is left of it.
    pub keyform: bool,
    /// `--ciphers`, as OpenSSL writes them.
    pub ciphers: Option<String>,
    /// `--insecure`: take the broker's certificate whatever name it is for.
    pub insecure: bool,
    /// `--tls-alpn`
    pub alpn: Option<String>,
    /// `--tls-use-os-certs`
    pub use_os_certs: bool,
    /// `--tls-version tlsv1.3`: the least version to accept is 1.3.
    pub only_1_3: bool,
}

/// Where the message to publish comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// `-m`
    Message(Vec<u8>),
    /// `-n`
    Null,
    /// `-f`
    File(PathBuf),
    /// `-s`: all of standard input.
    Stdin,
    /// `-l`: each line of standard input.
    Lines,
}

impl Settings {
    /// The defaults.
    pub fn new(tool: Tool) -> Settings {
        let version = match tool {
            Tool::Request => Version::V5,
            _ => Version::V311,
        };
        Settings {
            tool,
            version,
            bind_address: None,
            clean_start: true,
            message_count: None,
            debug: false,
            properties: PropertySets::default(),
            response_topic: None,
            exit_after_subscribe: false,
            input: None,
            input_twice: false,
            format: None,
            host: "localhost".to_owned(),
            unix: None,
            id: None,
            id_prefix: None,
            keep_alive_s: 60,
            latency: false,
            inflight_max: 20,
            message_rate: false,
            newline: true,
            nodelay: false,
            no_tls: false,
            port: None,
            password: None,
            pretty: false,
            proxy: None,
            qos: QoS::AtMostOnce,
            quiet: false,
            retain: false,
            skip_retained: false,
            random_filter_ppm: 1_000_000,
            remove_retained: false,
            repeat: 1,
            repeat_delay: Duration::ZERO,
            retain_as_published: false,
            retain_handling: RetainHandling::Always,
            retained_only: false,
            session_expiry_s: None,
            topics: Vec::new(),
            filter_out: Vec::new(),
            unsubscribe: Vec::new(),
            username: None,
            verbose: false,
            watch: false,
            timeout_s: None,
            will_topic: None,
            will_payload: None,
            will_qos: QoS::AtMostOnce,
            will_retain: false,
            tls: TlsSettings::default(),
            missing: None,
        }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
            .unwrap_or(if self.uses_tls() { 8883 } else { 1883 })
    }

    /// Whether the connection is encrypted: when something says whom to trust, or the port does.
    pub fn uses_tls(&self) -> bool {
        let tls = &self.tls;
        let trusts = tls.cafile.is_some() || tls.capath.is_some() || tls.use_os_certs;
        !self.no_tls && (trusts || tls.url || self.has_tls_port())
    }

    /// Whether the system's certificates are trusted.
    pub fn trusts_system(&self) -> bool {
        let named = self.tls.cafile.is_some() || self.tls.capath.is_some();
        self.tls.use_os_certs || (!named && (self.tls.url || self.has_tls_port()))
    }

    fn has_tls_port(&self) -> bool {
        self.port == Some(8883) && self.unix.is_none()
    }

    /// Checks what only the whole of the flags can show, and completes what follows from it.
    pub fn complete(&mut self) -> Result<(), String> {
        self.check_build()?;
        self.check_tls()?;
        if self.input_twice {
            return Err("Only one type of message can be sent at once.".into());
        }
        if self.will_topic.is_none() {
            if self.will_payload.is_some() {
                return Err("a will payload needs a will topic (--will-topic).".into());
            }
            if self.will_retain {
                return Err("--will-retain needs a will topic (--will-topic).".into());
            }
        }
        self.check_lengths()?;
        self.check_names()?;
        let v5 = self.version == Version::V5;
        if !v5 && self.password.is_some() && self.username.is_none() {
            return Err("before MQTT 5.0 a password (-P) needs a user name (-u).".into());
        }
        if v5 && !self.clean_start && self.session_expiry_s.is_none() {
            self.session_expiry_s = Some(u32::MAX);
        }
        let has_id = self.id.as_ref().is_some_and(|id| !id.is_empty());
        if !v5 && !self.clean_start && !has_id {
            return Err("-c keeps a session, and that needs a client id (-i).".into());
        }
        if v5 && self.session_expiry_s == Some(u32::MAX) && !has_id {
            return Err("a session that never expires needs a client id (-i).".into());
        }
        if self.skip_retained && self.retained_only {
            return Err("Combining '-R' and '--retained-only' makes no sense.".into());
        }
        self.check_topics()?;
        let mut properties = std::mem::take(&mut self.properties);
        properties.complete(self)?;
        self.properties = properties;
        Ok(())
    }

    /// CONNECT tells lengths in 16 bits; topics were looked at when they were read.
    fn check_lengths(&self) -> Result<(), String> {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let len_of_bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        for (flag, len) in [
            ("-i", len(&self.id)),
            ("-I", len(&self.id_prefix) + PID_DIGITS),
            ("-u", len(&self.username)),
            ("-P", len_of_bytes(&self.password)),
            ("--will-payload", len_of_bytes(&self.will_payload)),
        ] {
            if len > usize::from(u16::MAX) {
                return Err(format!("{flag}: it may have at most {} bytes.", u16::MAX));
            }
        }
        Ok(())
    }

    /// A broker closes the connection without a word for these, and `sub` would try for ever.
    fn check_names(&self) -> Result<(), String> {
        let names = [
            ("-i", &self.id),
            ("-I", &self.id_prefix),
            ("-u", &self.username),
        ];
        for (flag, name) in names {
            if !name.as_deref().is_none_or(wire::is_name) {
                return Err(format!("Malformed UTF-8 in {flag} argument."));
            }
        }
        Ok(())
    }

    fn check_topics(&self) -> Result<(), String> {
        match self.tool {
            Tool::Publish if self.topics.is_empty() || self.input.is_none() => {
                Err("Both a topic (-t) and a message (-f, -l, -m, -n or -s) are needed.".into())
            }
            Tool::Subscribe if self.topics.is_empty() && self.unsubscribe.is_empty() => {
                Err("A topic to subscribe to (-t) or to unsubscribe from (-U) is needed.".into())
            }
            Tool::Request
                if self.topics.is_empty()
                    || self.input.is_none()
                    || self.response_topic.is_none() =>
            {
                Err("A topic (-t), a message and a response topic (-e) are all needed.".into())
            }
            _ => Ok(()),
        }
    }

    fn check_build(&self) -> Result<(), String> {
        if let Some(what) = self.missing {
            return Err(format!("this build has no {what} yet."));
        }
        if cfg!(feature = "tls") || self.no_tls {
            return Ok(());
        }
        match &self.tls.flag {
            Some(flag) => Err(format!(
                "{flag}: this build has no TLS (it was made without the feature tls)."
            )),
            None if self.has_tls_port() => Err(
                "port 8883 means TLS, and this build has no TLS (--no-tls goes without).".into(),
            ),
            None => Ok(()),
        }
    }

    fn check_tls(&self) -> Result<(), String> {
        let tls = &self.tls;
        if tls.cert.is_some() != tls.key.is_some() {
            return Err("Both certfile and keyfile must be provided if one of them is set.".into());
        }
        if tls.keyform && tls.key.is_none() {
            return Err("If keyform is set, keyfile must be also specified.".into());
        }
        if self.no_tls {
            return Ok(());
        }
        if let Some(what) = &tls.refused {
            return Err(what.clone());
        }
        if self.unix.is_some() && self.uses_tls() {
            return Err("TLS does not go with --unix: leave out one of them.".into());
        }
        Ok(())
    }
}
