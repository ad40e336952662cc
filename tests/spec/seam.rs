//! The one place that knows Midge: the broker of a story, its settings, and who may sign in.

#[path = "../seam/mod.rs"]
mod shared;

use std::env;
use std::sync::Arc;

use midge::auth::{Acl, SignIn};
pub use midge::broker::Settings;
use midge::broker::{AuthRequest, ListenerSettings};
use midge::wire::QoS;
pub use shared::Seam;
pub use shared::disk::Disk;

/// Names the environment variable that gives every story a disk.
pub const JOURNAL: &str = "SPEC_JOURNAL";

/// What stories begin with: `$SYS` is silent, so that `#` hears nothing but the story.
pub fn story_settings() -> Settings {
    Settings {
        sys_interval: 0,
        ..Settings::default()
    }
}

/// A QoS as settings have it.
pub fn qos(n: u8) -> QoS {
    QoS::from_bits(n).expect("a QoS of 0, 1 or 2")
}

/// A listener beside the first one, with default settings.
pub fn another_listener(_settings: &Settings) -> ListenerSettings {
    ListenerSettings {
        name: "1884".to_string(),
        ..ListenerSettings::default()
    }
}

/// Signing in is possible as this user with this password, on the first listener.
pub fn one_user(settings: &mut Settings, name: &str, password: &str) {
    settings.listeners[0].has_passwords = true;
    settings.listeners[0].name = format!("{name}:{password}");
}

/// The text of an ACL file for the first listener.
pub fn acl(settings: &mut Settings, text: &str) {
    let (acl, problems) = Acl::parse(text.as_bytes(), "story.acl").expect("a good ACL file");
    assert!(problems.is_empty(), "a story's ACL file has no warnings");
    settings.listeners[0].acl = Some(Arc::new(acl));
}

/// The broker of a story. With a disk all is durable at once, and no body stays in memory that the
/// disk has.
pub fn begin(mut settings: Settings, disk: Option<Disk>) -> Seam {
    settings.memory_cache = 0;
    let user = settings.listeners[0].name.clone();
    let disk = disk.or_else(|| env::var_os(JOURNAL).map(|_| Disk::default()));
    let room = env::var(crate::world::ROOM).ok();
    let room = room.and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    Seam::new(settings, disk, move |request| sign_in(&user, request)).with_room(room)
}

/// The verdict where `user`, as `name:password`, is the only one there is.
fn sign_in(user: &str, request: &AuthRequest) -> SignIn {
    let password = String::from_utf8_lossy(request.password.as_deref().unwrap_or_default());
    match (&request.password, user.split_once(':')) {
        (None, _) => SignIn::NoPassword,
        (_, Some((name, _))) if name != request.username => SignIn::UnknownUser,
        (_, Some((_, secret))) if secret == password => SignIn::Granted,
        _ => SignIn::WrongPassword,
    }
}
