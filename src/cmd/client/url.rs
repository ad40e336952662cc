//! The two URLs of the command line: `-L mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC` and
//! `--proxy socks5h://[USER[:PASSWORD]@]HOST[:PORT]`.

/// What a broker's URL says.
#[derive(Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether it asks for TLS.
    pub tls: bool,
    /// Whether it asks for WebSockets.
    pub websockets: bool,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What follows the slash.
    pub topic: String,
}

/// A SOCKS5 proxy that resolves host names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port, 1080 unless given.
    pub port: u16,
}

const SCHEMES: [(&str, u16, bool, bool); 4] = [
    ("mqtt://", 1883, false, false),
    ("mqtts://", 8883, true, false),
    ("ws://", 1883, false, true),
    ("wss://", 8883, true, true),
];

impl BrokerUrl {
    /// Reads the URL; the error says what is wrong with it.
    ///
    /// The user name ends at the first colon and the credentials end at the first `@`, as they
    /// always did in Mosquitto: neither is percent-decoded.
    pub fn parse(url: &str) -> Result<BrokerUrl, String> {
        let (rest, port, tls, websockets) = SCHEMES
            .iter()
            .find_map(|&(scheme, port, tls, websockets)| {
                let rest = strip_prefix_ignoring_case(url, scheme)?;
                Some((rest, port, tls, websockets))
            })
            .ok_or_else(|| format!("-L: '{url}' does not start with mqtt:// or mqtts://."))?;
        let (authority, topic) = rest
            .split_once('/')
            .ok_or_else(|| format!("-L: the topic is missing in '{url}'."))?;
        let (credentials, place) = match authority.split_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, authority),
        };
        let (username, password) = split_credentials(credentials);
        let (host, port) = split_host(place, port).map_err(|what| format!("-L: {what}"))?;
        Ok(BrokerUrl {
            tls,
            websockets,
            username,
            password,
            host,
            port,
            topic: topic.to_owned(),
        })
    }
}

impl Proxy {
    /// Reads the URL; in user name and password `%25`, `%3A` and `%40` stand for `%`, `:`, `@`.
    pub fn parse(url: &str) -> Result<Proxy, String> {
        let rest = url
            .strip_prefix("socks5h://")
            .ok_or_else(|| format!("--proxy: '{url}' does not start with socks5h://."))?;
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let (username, password) = split_credentials(credentials);
        let decode = |text: Option<String>| text.as_deref().map(percent_decode).transpose();
        let (host, port) = split_host(place.trim_end_matches('/'), 1080)
            .map_err(|what| format!("--proxy: {what}"))?;
        let proxy = Proxy {
            username: decode(username)?,
            password: decode(password)?,
            host,
            port,
        };
        let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > 255);
        if long(&proxy.username) || long(&proxy.password) {
            return Err("--proxy: SOCKS5 takes at most 255 bytes of user name or password.".into());
        }
        Ok(proxy)
    }
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn split_credentials(text: Option<&str>) -> (Option<String>, Option<String>) {
    match text.map(|text| text.split_once(':').ok_or(text)) {
        None => (None, None),
        Some(Ok((user, password))) => (Some(user.to_owned()), Some(password.to_owned())),
        Some(Err(user)) => (Some(user.to_owned()), None),
    }
}

fn split_host(text: &str, default: u16) -> Result<(String, u16), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| format!("'{text}' lacks a closing bracket."))?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("the host is missing in the URL.".into());
    }
    let port = match port {
        None => default,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("Invalid port given: {port}")),
        },
    };
    Ok((host.to_owned(), port))
}

fn percent_decode(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = after.get(..2).map(str::to_ascii_lowercase);
        out.push(match code.as_deref() {
            Some("25") => '%',
            Some("3a") => ':',
            Some("40") => '@',
            _ => return Err("--proxy: only %25, %3A and %40 are understood.".into()),
        });
        rest = &after[2..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_url_says_where_who_and_what() {
        let url = BrokerUrl::parse("MQTT://me:se:cret@[::1]:1999/a/b").unwrap();
        assert_eq!(url.username.as_deref(), Some("me"));
        assert_eq!(url.password.as_deref(), Some("se:cret"));
        assert_eq!((url.host.as_str(), url.port), ("::1", 1999));
        assert_eq!((url.topic.as_str(), url.tls), ("a/b", false));
        let url = BrokerUrl::parse("mqtts://me@host/t").unwrap();
        assert_eq!((url.port, url.tls, url.password), (8883, true, None));
    }

    #[test]
    fn a_bad_url_is_told() {
        for url in [
            "http://host/t",
            "mqtt://host",
            "mqtt://:1883/t",
            "mqtt://host:0/t",
            "mqtt://host:99999/t",
            "mqtt://[::1/t",
            "mqtt",
            "é://",
        ] {
            assert!(BrokerUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_proxy_url_decodes_its_credentials() {
        let proxy = Proxy::parse("socks5h://u%3as%40er:p%25w@localhost").unwrap();
        assert_eq!(proxy.username.as_deref(), Some("u:s@er"));
        assert_eq!(proxy.password.as_deref(), Some("p%w"));
        assert_eq!((proxy.host.as_str(), proxy.port), ("localhost", 1080));
        assert_eq!(Proxy::parse("socks5h://[::1]:9").unwrap().port, 9);
        for url in [
            "socks5://h",
            "socks5h://",
            "socks5h://a%2@h",
            "socks5h://a%41@h",
        ] {
            assert!(Proxy::parse(url).is_err(), "{url}");
        }
    }
}
