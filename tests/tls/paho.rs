//! paho-mqtt, the Python client library, over TLS: the script tells line by line what it did.

use crate::tools::Tool;
use crate::{encrypted, run};
use std::path::Path;
use std::process::Command;

#[test]
fn paho_shakes_hands_in_every_way() {
    if !Tool::Paho.ready() {
        return;
    }
    let conf = "cafile DIR/ca.crt\nrequire_certificate true\ncrlfile DIR/crl.pem";
    let broker = encrypted(conf, |authority| {
        authority.client("anna", "/CN=anna");
        authority.client("bert", "/CN=bert");
        authority.client_until("late", "/CN=late", "20210101000000Z");
        authority.revoke("bert");
    });
    let other = crate::dir::Dir::new();
    crate::authority::Authority::new(&other);
    broker.dir().write("other-ca.crt", other.read("ca.crt"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/handshakes.py");
    let mut command = Command::new(Tool::Paho.path());
    command.arg(script).arg(broker.port().to_string());
    command
        .arg(broker.dir().path())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let done = run(&mut command);
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{out}\n{err}");
    assert_eq!(out.lines().last(), Some("done"), "{out}\n{err}");
}
