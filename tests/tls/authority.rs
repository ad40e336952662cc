//! An authority that lives for one test, made with the openssl command.

use crate::dir::Dir;
use std::process::Command;

/// A certificate authority with its files in a folder: `ca.crt`, and `NAME.crt` and `NAME.key` of
/// what it certified.
pub struct Authority<'a> {
    dir: &'a Dir,
}

/// What `openssl ca` keeps its books by.
const BOOKS: &str = "[ca]\ndefault_ca = books\n[books]\ndatabase = DIR/index\nserial = DIR/serial\n\
    new_certs_dir = DIR\ncertificate = DIR/ca.crt\nprivate_key = DIR/ca.key\ndefault_md = sha256\n\
    default_crl_days = 30\npolicy = any\nunique_subject = no\ncrlnumber = DIR/crlnumber\n[any]\n\
    countryName = optional\norganizationName = optional\ncommonName = optional\n";

const LONG_AGO: &str = "20200101000000Z";
const FAR_OFF: &str = "20490101000000Z";

const P256: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

impl<'a> Authority<'a> {
    pub fn new(dir: &'a Dir) -> Authority<'a> {
        let folder = dir.path().to_str().unwrap();
        dir.write("books", BOOKS.replace("DIR", folder));
        dir.write("index", "");
        dir.write("serial", "01\n");
        dir.write("crlnumber", "01\n");
        let authority = Authority { dir };
        let args = [
            "req",
            "-x509",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=Authority",
        ];
        authority.run(&[&args[..], &P256, &["-keyout", "ca.key", "-out", "ca.crt"]].concat());
        authority
    }

    /// The authority that was made in this folder before.
    pub fn again(dir: &'a Dir) -> Authority<'a> {
        Authority { dir }
    }

    /// Certifies a server of this name.
    pub fn server(&self, name: &str, host: &str) {
        self.dir
            .write("ext", format!("subjectAltName=DNS:{host}\n"));
        self.certify(name, &format!("/CN={host}"), LONG_AGO, FAR_OFF);
    }

    /// Certifies a server as the manual of Mosquitto has it: without extensions, such a certificate
    /// is one of version 1.
    pub fn server_of_version_1(&self, name: &str, host: &str) {
        let file = |kind: &str| format!("{name}.{kind}");
        let (key, request, certificate) = (file("key"), file("csr"), file("crt"));
        let subject = format!("/CN={host}");
        let out = ["-keyout", &key, "-out", &request, "-subj", &subject];
        self.run(&[&["req", "-nodes"][..], &P256, &out].concat());
        // A file without any: newer versions of OpenSSL add some unasked otherwise.
        self.dir.write("none", "[none]\n");
        let sign = ["x509", "-req", "-in", &request, "-out", &certificate];
        let by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
        let plain = ["-extfile", "none", "-extensions", "none"];
        self.run(&[&sign[..], &by, &plain].concat());
    }

    /// Certifies a server by an authority between this one and it, `between.crt`. Of its name there
    /// were others: `ended.crt`, whose time is over, and `former.crt`, which had another key.
    pub fn server_below(&self, name: &str, host: &str) {
        let below = |name, end| self.certify(name, "/CN=Between", LONG_AGO, end);
        let ext = "basicConstraints=CA:TRUE\n";
        self.dir.write("ext", ext);
        below("ended", "20210101000000Z");
        self.dir
            .write("ext", format!("{ext}subjectKeyIdentifier=hash\n"));
        below("former", FAR_OFF);
        below("between", FAR_OFF);
        let books = self.dir.read("books");
        self.dir.write("books", books.replace("/ca.", "/between."));
        let ext = format!("subjectAltName=DNS:{host}\nauthorityKeyIdentifier=keyid\n");
        self.dir.write("ext", ext);
        self.certify(name, &format!("/CN={host}"), LONG_AGO, FAR_OFF);
        self.dir.write("books", books);
    }

    /// The same with a key that takes long to sign with.
    pub fn slow_server(&self, name: &str, host: &str) {
        let ext = format!("subjectAltName=DNS:{host}\n");
        self.dir.write("ext", ext);
        let rsa = ["-newkey", "rsa:4096"];
        self.certify_key(name, &format!("/CN={host}"), &rsa, LONG_AGO, FAR_OFF);
    }

    /// Certifies a server at `localhost`, until a moment that may have passed.
    pub fn server_until(&self, name: &str, end: &str) {
        self.dir.write("ext", "subjectAltName=DNS:localhost\n");
        self.certify(name, "/CN=localhost", LONG_AGO, end);
    }

    /// Certifies a client whose certificate has this subject.
    pub fn client(&self, name: &str, subject: &str) {
        self.client_until(name, subject, FAR_OFF);
    }

    /// Certifies a client that is an authority itself, as `openssl req -x509` makes them.
    pub fn client_with_rights(&self, name: &str, subject: &str) {
        self.dir.write("ext", "basicConstraints=CA:TRUE\n");
        self.certify(name, subject, LONG_AGO, FAR_OFF);
    }

    /// A client until a moment that may have passed.
    pub fn client_until(&self, name: &str, subject: &str, end: &str) {
        self.dir.write("ext", "extendedKeyUsage=clientAuth\n");
        self.certify(name, subject, LONG_AGO, end);
    }

    fn certify(&self, name: &str, subject: &str, start: &str, end: &str) {
        self.certify_key(name, subject, &P256, start, end);
    }

    fn certify_key(&self, name: &str, subject: &str, key_kind: &[&str], start: &str, end: &str) {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        let out = ["-keyout", &key, "-out", &request, "-subj", subject];
        self.run(&[&["req", "-nodes"][..], key_kind, &out].concat());
        let certificate = format!("{name}.crt");
        self.run(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "books",
            "-in",
            &request,
            "-out",
            &certificate,
            "-extfile",
            "ext",
            "-startdate",
            start,
            "-enddate",
            end,
        ]);
    }

    /// Takes a certificate back and writes the list of all that were: `crl.pem`.
    pub fn revoke(&self, name: &str) {
        self.run(&["ca", "-config", "books", "-revoke", &format!("{name}.crt")]);
        self.run(&["ca", "-config", "books", "-gencrl", "-out", "crl.pem"]);
    }

    /// Saves a file anew as editors on Windows do.
    pub fn edit(&self, name: &str) {
        let text = self.dir.read(name).replace('\n', "\r\n");
        self.dir.write(name, format!("\u{feff}{text}"));
    }

    /// Puts certificates into one file, `NAME.crt`, and beside each other into a folder `NAME`.
    pub fn bundle(&self, name: &str, files: &[&str]) {
        let texts: Vec<String> = files.iter().map(|file| self.dir.read(file)).collect();
        self.dir.write(&format!("{name}.crt"), texts.concat());
        std::fs::create_dir(self.dir.at(name)).unwrap();
        for (file, text) in files.iter().zip(&texts) {
            self.dir.write(&format!("{name}/{file}"), text);
        }
    }

    /// Writes another file beside them.
    pub fn write(&self, name: &str, text: &str) {
        self.dir.write(name, text);
    }

    fn run(&self, args: &[&str]) {
        let done = Command::new("openssl")
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "openssl {args:?}: {error}");
    }
}
