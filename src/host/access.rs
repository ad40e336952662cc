//! Password and ACL files, from disk to the tables of the auth room.

use super::daemon::explain_denied;
use crate::auth::{Acl, Passwords, Problem};
use std::io;
use std::path::Path;

/// Files beyond this are refused: a password file of a million users has 100 MB.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Reads a password file; lines that are no good are told with it and left out.
///
/// # Errors
/// What to tell the owner when the file cannot be read.
pub fn passwords(path: &Path) -> Result<(Passwords, Vec<Problem>), String> {
    let text = read("password_file", path, FILE_BYTES_MAX)?;
    Ok(Passwords::parse(&text, &path.display().to_string()))
}

/// Reads an ACL file, with what is odd about it.
///
/// # Errors
/// What to tell the owner when the file cannot be read or a line of it is wrong.
pub fn acl(path: &Path) -> Result<(Acl, Vec<Problem>), String> {
    let text = read("acl_file", path, FILE_BYTES_MAX)?;
    Acl::parse(&text, &path.display().to_string()).map_err(|error| error.to_string())
}

/// Reads a file that a directive names.
///
/// # Errors
/// What to tell the owner when it cannot be read, or is larger than `bytes_max`.
pub fn read(directive: &str, path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let explain = |error: &io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => explain_denied(path, error),
        _ => format!("{}: {error}", path.display()),
    };
    let size =
        std::fs::metadata(path).map_err(|error| format!("{directive}: {}", explain(&error)))?;
    if size.len() > bytes_max {
        return Err(format!(
            "{directive}: {}: larger than {} MiB",
            path.display(),
            bytes_max >> 20
        ));
    }
    std::fs::read(path).map_err(|error| format!("{directive}: {}", explain(&error)))
}
