//! The well-known plugins that stand for something built in.
//!
//! Midge loads no plugin. Those of Mosquitto 2.1 that only move built-in work out are taken at
//! their word: the password file, the access control list, the database. Any other is refused,
//! because a missing plugin must never mean an open broker.

use super::lines::word;
use super::read::{Entry, Target};
use super::report::{Error, Level, Message, Place, plain, quote};
use super::table::{Kind, Scope};
use super::value::{self, Value};
use super::written::{Block, Setting, Written};

/// The plugins that the files name, in order.
#[derive(Debug, Default)]
pub(super) struct Plugins {
    loaded: Vec<Plugin>,
    uses: Vec<Use>,
}

#[derive(Debug)]
struct Plugin {
    kind: Known,
    /// Its name for `plugin_use`, of `plugin_load` only.
    name: Option<String>,
    at: Place,
    /// The directive as it is written.
    written: String,
    /// The value of the option that its kind needs, or where its database was to be.
    file: Option<Setting>,
}

/// Where a plugin's work is asked for.
#[derive(Debug)]
struct Use {
    plugin: usize,
    place: Where,
}

#[derive(Debug, Clone, Copy)]
enum Where {
    /// Like a security directive at this listener.
    Security(Target),
    /// For the whole broker.
    Global,
    /// For one listener, whatever `per_listener_settings` says.
    Listener(Target),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    PasswordFile,
    AclFile,
    PersistSqlite,
}

impl Known {
    /// The directive that stands for the plugin.
    fn directive(self) -> &'static str {
        match self {
            Self::PasswordFile => "password_file",
            Self::AclFile => "acl_file",
            Self::PersistSqlite => "persistence",
        }
    }

    /// Whether the plugin has an option of this name, `plugin_opt_` taken off.
    fn knows(self, option: &str) -> bool {
        match self {
            Self::PasswordFile | Self::AclFile => option == self.directive(),
            Self::PersistSqlite => {
                matches!(option, "db_file" | "sync" | "flush_period" | "page_size")
            }
        }
    }
}

impl Plugins {
    /// Takes a line of a plugin directive; the answer is a warning for its author.
    pub(super) fn line(
        &mut self,
        entry: &Entry<'_>,
        listener: Target,
        current: &mut Option<usize>,
    ) -> Result<Option<String>, Error> {
        if entry.directive.name.ends_with('*') {
            return self.option(entry, *current);
        }
        let (text, remark) = value::text(entry.rest, 65_535).map_err(|what| entry.error(what))?;
        match entry.directive.name {
            "plugin_use" => {
                let plugin = self.named(entry, &text)?;
                if listener == Target::Default {
                    return Err(entry.error("no listener line above it in this file: expected one"));
                }
                let place = Where::Listener(listener);
                self.uses.push(Use { plugin, place });
            }
            "plugin_load" => {
                let (name, path) = word(entry.rest);
                if path.is_empty() {
                    let expected = value::expectation(Kind::NamedPath);
                    return Err(entry.error(format!("no path: expected {expected}")));
                }
                let name = plain(name);
                if self.find(&name).is_some() {
                    return Err(entry.error(format!(
                        "{} is loaded already: expected another name",
                        quote(name.as_bytes())
                    )));
                }
                *current = Some(self.load(entry, path, Some(name))?);
            }
            name => {
                let plugin = self.load(entry, text.as_bytes(), None)?;
                let place = match name {
                    "global_plugin" => Where::Global,
                    _ => Where::Security(listener),
                };
                self.uses.push(Use { plugin, place });
                *current = Some(plugin);
            }
        }
        Ok(remark)
    }

    /// Turns what the plugins were to do into the directives that do it.
    pub(super) fn settle(
        self,
        written: &mut Written,
        messages: &mut Vec<Message>,
    ) -> Result<(), Error> {
        for (index, plugin) in self.loaded.iter().enumerate() {
            let directive = plugin.kind.directive();
            if plugin.kind != Known::PersistSqlite && plugin.file.is_none() {
                let what = format!("no file is named: expected plugin_opt_{directive} below it");
                return Err(plugin.at.error(&plugin.written, what));
            }
            let (level, what, mend) = if self.uses.iter().any(|wanted| wanted.plugin == index) {
                let what = format!("is not loaded: Midge's own {directive} does its work");
                (Level::Notice, what, "")
            } else {
                let what = "is not used: expected plugin_use below a listener".to_owned();
                (
                    Level::Warning,
                    what,
                    "add plugin_use NAME below the listener",
                )
            };
            messages.push((plugin.at).message(level, &plugin.written, &what, mend));
        }
        for Use { plugin, place } in &self.uses {
            self.loaded[*plugin].put(*place, written)?;
        }
        Ok(())
    }

    fn option(
        &mut self,
        entry: &Entry<'_>,
        current: Option<usize>,
    ) -> Result<Option<String>, Error> {
        let Some(plugin) = current else {
            return Err(entry.error("no plugin line above it in this file: expected one"));
        };
        let plugin = &mut self.loaded[plugin];
        let (text, remark) = value::text(entry.rest, 65_535).map_err(|what| entry.error(what))?;
        let option = ["plugin_opt_", "auth_opt_"]
            .iter()
            .find_map(|start| entry.written.strip_prefix(start))
            .unwrap_or(entry.written);
        if !plugin.kind.knows(option) {
            return Ok(Some("is ignored: the plugin has no such option".to_owned()));
        }
        if plugin.kind == Known::PersistSqlite && option != "db_file" {
            return Ok(Some("is ignored: Midge has no such database".to_owned()));
        }
        if let Some(earlier) = &plugin.file {
            let what = format!(
                "Duplicate value: expected only one, and it is set at {}",
                earlier.at
            );
            return Err(entry.error(what));
        }
        plugin.file = Some(Setting {
            value: Value::Text(text),
            at: entry.at.clone(),
        });
        Ok(remark)
    }

    fn load(
        &mut self,
        entry: &Entry<'_>,
        path: &[u8],
        name: Option<String>,
    ) -> Result<usize, Error> {
        let file = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let kind = match file {
            b"mosquitto_password_file.so" => Known::PasswordFile,
            b"mosquitto_acl_file.so" => Known::AclFile,
            b"mosquitto_persist_sqlite.so" => Known::PersistSqlite,
            b"mosquitto_dynamic_security.so" => {
                return Err(entry.error(
                    "dynamic security is not supported, and without it the broker would be open: \
                     expected password_file and acl_file instead",
                ));
            }
            _ => {
                return Err(entry.error(format!(
                    "{} cannot be loaded, and without it the broker might be open: \
                     expected no plugin, or password_file and acl_file instead",
                    quote(path)
                )));
            }
        };
        self.loaded.push(Plugin {
            kind,
            name,
            at: entry.at.clone(),
            written: entry.written.to_owned(),
            file: None,
        });
        Ok(self.loaded.len() - 1)
    }

    fn named(&self, entry: &Entry<'_>, name: &str) -> Result<usize, Error> {
        let found = self.find(&plain(name.as_bytes()));
        found.ok_or_else(|| {
            let name = quote(name.as_bytes());
            entry.error(format!(
                "{name} is not loaded: expected the name of a plugin_load line above it"
            ))
        })
    }

    fn find(&self, name: &str) -> Option<usize> {
        let named = |plugin: &Plugin| plugin.name.as_deref() == Some(name);
        self.loaded.iter().position(named)
    }
}

impl Plugin {
    /// Sets the directive that stands for the plugin.
    fn put(&self, place: Where, written: &mut Written) -> Result<(), Error> {
        let directive = self.kind.directive();
        if self.kind == Known::PersistSqlite {
            self.put_database(&mut written.global);
            return Ok(());
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        let block = match place {
            Where::Global => &mut written.global,
            Where::Security(listener) => written.block(Scope::Security, listener),
            Where::Listener(listener) => &mut written.draft(listener).options,
        };
        block.set_once(directive, directive, file.clone())
    }

    /// Turns persistence on, in the folder that the database was to be in unless another is named.
    fn put_database(&self, global: &mut Block) {
        let at = self.at.clone();
        let value = Value::Bool(true);
        global.set("persistence", Setting { value, at });
        let Some(Setting {
            value: Value::Text(file),
            at,
        }) = &self.file
        else {
            return;
        };
        let folder = match file.rsplit_once('/') {
            None => ".",
            Some(("", _)) => "/",
            Some((folder, _)) => folder,
        };
        if global.get("persistence_location").is_none() {
            let value = Value::Text(folder.to_owned());
            let at = at.clone();
            global.set("persistence_location", Setting { value, at });
        }
    }
}
