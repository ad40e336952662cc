//! Certificates for tests, made by the openssl command in a directory of the test.

use std::process::Command;

use super::{Dir, Process};

/// What `openssl ca` needs to give a certificate any dates.
const CONF: &str = "\
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
";

/// A key of the kind that OpenSSL makes fastest.
const EC: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// Dates of a certificate, as `openssl ca` takes them.
pub const VALID: (&str, &str) = ("20200101000000Z", "21000101000000Z");
pub const EXPIRED: (&str, &str) = ("20200101000000Z", "20210101000000Z");
pub const NOT_YET: (&str, &str) = ("20900101000000Z", "21000101000000Z");

/// A directory of keys `NAME.key` and certificates `NAME.pem`.
pub struct Pki<'a>(pub &'a Dir);

impl Pki<'_> {
    /// Runs openssl in the directory.
    #[track_caller]
    pub fn openssl(&self, args: &[&str]) {
        let mut command = Command::new("openssl");
        command.args(args).current_dir(self.0.path());
        command.env_remove("OPENSSL_CONF");
        let ended = Process::run(&mut command);
        assert_eq!(ended.code, 0, "openssl {args:?}: {ended:?}");
    }

    /// Makes an authority, or any certificate that signs itself: `NAME.pem`.
    pub fn authority(&self, name: &str, subject: &str) -> String {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let mut args = vec!["req", "-x509", "-nodes", "-subj", subject];
        args.extend(EC);
        args.extend(["-keyout", &key, "-out", &pem, "-days", "30"]);
        self.openssl(&args);
        self.0.at(&pem)
    }

    /// Makes a key and a request to sign: `NAME.key`, `NAME.csr`.
    fn request(&self, name: &str, subject: &str) {
        let (key, csr) = (format!("{name}.key"), format!("{name}.csr"));
        let mut args = vec!["req", "-nodes", "-subj", subject];
        args.extend(EC);
        args.extend(["-keyout", &key, "-out", &csr]);
        self.openssl(&args);
    }

    /// Makes `NAME.pem` for these alternative names (none: without any), signed by `ca`.
    pub fn leaf(&self, name: &str, subject: &str, names: &str, dates: (&str, &str)) -> String {
        self.request(name, subject);
        self.0.write("ca.cnf", CONF);
        self.0.write("index.txt", "");
        let extensions = match names {
            "" => "basicConstraints = CA:FALSE\n".to_owned(),
            names => format!("subjectAltName = {names}\n"),
        };
        self.0.write("leaf.ext", extensions);
        let (csr, pem) = (format!("{name}.csr"), format!("{name}.pem"));
        let mut args = vec!["ca", "-batch", "-notext", "-config", "ca.cnf"];
        args.extend(["-cert", "ca.pem", "-keyfile", "ca.key", "-in", &csr]);
        args.extend(["-extfile", "leaf.ext", "-out", &pem]);
        args.extend(["-startdate", dates.0, "-enddate", dates.1]);
        self.openssl(&args);
        self.0.at(&pem)
    }

    /// Makes `NAME.pem` of version 1, as Mosquitto's manual has it: no extensions at all.
    pub fn leaf_version_1(&self, name: &str, subject: &str) -> String {
        self.request(name, subject);
        let (csr, pem) = (format!("{name}.csr"), format!("{name}.pem"));
        // A file of extensions without any: newer versions of OpenSSL add some unasked otherwise.
        self.0.write("none.ext", "[none]\n");
        let mut args = vec!["x509", "-req", "-in", &csr, "-out", &pem, "-days", "9"];
        args.extend(["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]);
        args.extend(["-extfile", "none.ext", "-extensions", "none"]);
        self.openssl(&args);
        self.0.at(&pem)
    }
}
