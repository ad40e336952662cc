//! Clients that show a certificate, and what it says of them.

use crate::{debians, debians_as, encrypted, run};

const MUTUAL: &str = "cafile DIR/ca.crt\nrequire_certificate true";

fn publishes(command: &mut std::process::Command) -> bool {
    run(command.args(["-t", "a", "-q", "1", "-m", "x"]))
        .status
        .success()
}

#[test]
fn only_certificates_of_the_authority_get_in() {
    let broker = encrypted(MUTUAL, |authority| {
        authority.client("anna", "/CN=anna");
        authority.client_until("late", "/CN=late", "20210101000000Z");
        authority.client_with_rights("chief", "/CN=chief");
    });
    assert!(publishes(&mut debians_as(&broker, "mosquitto_pub", "anna")));
    let mut chief = debians_as(&broker, "mosquitto_pub", "chief");
    assert!(!publishes(&mut chief));
    broker.logs("its certificate is an authority's own (CA:TRUE)");
    assert!(!publishes(&mut debians(&broker, "mosquitto_pub")));
    broker.logs("TLS: it has no certificate, and require_certificate is true");
    assert!(!publishes(&mut debians_as(
        &broker,
        "mosquitto_pub",
        "late"
    )));
    broker.logs("certificate expired");
    // Someone else's authority has the same name.
    let other = crate::dir::Dir::new();
    let stranger = crate::authority::Authority::new(&other);
    stranger.client("anna", "/CN=anna");
    for file in ["anna.crt", "anna.key"] {
        broker.dir().write(file, other.read(file));
    }
    assert!(!publishes(&mut debians_as(
        &broker,
        "mosquitto_pub",
        "anna"
    )));
}

#[test]
fn who_is_on_the_list_of_the_revoked_stays_outside() {
    let conf = format!("{MUTUAL}\ncrlfile DIR/crl.pem");
    let broker = encrypted(&conf, |authority| {
        authority.client("anna", "/CN=anna");
        authority.client("bert", "/CN=bert");
        authority.revoke("bert");
    });
    assert!(publishes(&mut debians_as(&broker, "mosquitto_pub", "anna")));
    assert!(!publishes(&mut debians_as(
        &broker,
        "mosquitto_pub",
        "bert"
    )));
    broker.logs("Revoked");
}

/// A gateway without a clock thinks that it is 1970, or 2090.
#[test]
fn dates_do_not_matter_where_the_owner_says_so() {
    let conf = format!("{MUTUAL}\ndisable_client_cert_date_checks true");
    let broker = encrypted(&conf, |authority| {
        authority.client_until("late", "/CN=late", "20210101000000Z");
    });
    assert!(publishes(&mut debians_as(&broker, "mosquitto_pub", "late")));
    assert!(!publishes(&mut debians(&broker, "mosquitto_pub")));
}

#[test]
fn the_common_name_is_the_user_name() {
    let conf = format!("{MUTUAL}\nuse_identity_as_username true\nacl_file DIR/acl");
    let broker = encrypted(&conf, |authority| {
        authority.client("anna", "/C=DE/O=Works/CN=anna");
        authority.client("bert", "/C=DE/O=Works/CN=bert");
        authority.client("nobody", "/C=DE/O=Works");
        authority.write("acl", "user anna\ntopic readwrite #\n");
    });
    let mut as_another = debians_as(&broker, "mosquitto_pub", "bert");
    let done = run(as_another
        .args(["-u", "anna", "-P", "x", "-V", "5", "-t", "a", "-q", "1"])
        .args(["-m", "x"]));
    let told = String::from_utf8_lossy(&done.stderr).to_lowercase();
    assert!(
        told.contains("not authorized"),
        "CONNECT's name counts: {told}"
    );
    assert!(publishes(&mut debians_as(&broker, "mosquitto_pub", "anna")));
    broker.logs("u'anna'");
    assert!(!publishes(&mut debians_as(
        &broker,
        "mosquitto_pub",
        "nobody"
    )));
    broker.logs("no name is in its certificate");
}

/// As with Mosquitto, which starts and refuses everybody.
#[test]
fn nobody_has_a_name_where_no_certificate_is_asked_for() {
    let broker = encrypted("use_identity_as_username true", |_| {});
    broker.logs("use_identity_as_username: nobody has a name without a certificate");
    assert!(!publishes(&mut debians(&broker, "mosquitto_pub")));
    broker.logs("no name is in its certificate");
}

#[test]
fn the_whole_subject_is_the_user_name() {
    let conf = format!("{MUTUAL}\nuse_subject_as_username true");
    let broker = encrypted(&conf, |authority| {
        authority.client("anna", "/C=DE/O=Works, Inc/CN=anna");
    });
    assert!(publishes(&mut debians_as(&broker, "mosquitto_pub", "anna")));
    broker.logs(r"u'CN=anna,O=Works\, Inc,C=DE'");
}
