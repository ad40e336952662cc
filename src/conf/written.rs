//! What the files say, before it is decided what it means.
//!
//! A [`Block`] holds the settings of one context: the broker, or one listener. The reader fills
//! blocks, `resolve` looks values up through a [`View`] of several, and a reload compares them.

use super::report::{Error, Place};
use super::table;
use super::value::{Endpoint, Value, default};

/// All that the files say.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Global directives, and security directives unless each listener has its own.
    pub(super) global: Block,
    /// Listener directives in front of any `listener` line.
    pub(super) default_listener: Draft,
    /// The `listener` lines, in order.
    pub(super) listeners: Vec<(Endpoint, Draft)>,
}

/// A listener as it is written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// The `listener` line; none for the default listener.
    pub(super) at: Option<Place>,
    /// Listener directives, and what `plugin_use` chose.
    pub(super) options: Block,
    /// Security directives, with `per_listener_settings`.
    pub(super) security: Block,
}

/// Directives with their values, in alphabetical order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Block(Vec<(&'static str, Setting)>);

/// A value and where it was set.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) at: Place,
}

/// Where it was set does not matter when two configurations are compared.
impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Setting {}

impl Block {
    pub(super) fn get(&self, name: &str) -> Option<&Setting> {
        Some(&self.0[self.find(name).ok()?].1)
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (*other).cmp(name))
    }

    /// The settings in alphabetical order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        self.0.iter().map(|(name, setting)| (*name, setting))
    }

    /// Sets a value; the earlier setting is returned.
    pub(super) fn set(&mut self, name: &'static str, setting: Setting) -> Option<Setting> {
        match self.find(name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, setting)),
            Err(at) => {
                self.0.insert(at, (name, setting));
                None
            }
        }
    }

    /// Sets a value that may be set only once.
    pub(super) fn set_once(
        &mut self,
        name: &'static str,
        written: &str,
        setting: Setting,
    ) -> Result<(), Error> {
        if let Some(earlier) = self.get(name) {
            let what = format!(
                "Duplicate value: expected only one, and it is set at {}",
                earlier.at
            );
            return Err(setting.at.error(written, what));
        }
        self.set(name, setting);
        Ok(())
    }

    /// Adds one entry to a list.
    pub(super) fn push(&mut self, name: &'static str, entry: String, at: Place) {
        if let Ok(found) = self.find(name) {
            if let Value::List(list) = &mut self.0[found].1.value {
                list.push(entry);
            }
            return;
        }
        let value = Value::List(vec![entry]);
        self.set(name, Setting { value, at });
    }
}

/// The blocks in which a value is looked up, the first that has it wins; the table's default is
/// last.
///
/// # Panics
/// Each method panics when the table does not know the name, or knows another kind of value for it:
/// every load reads every value, so any test of a load would show it.
#[derive(Debug, Clone)]
pub(super) struct View<'a>(pub(super) Vec<&'a Block>);

impl View<'_> {
    /// The setting, if the directive is written.
    pub(super) fn setting(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find_map(|block| block.get(name))
    }

    /// The value written or the default.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        if let Some(setting) = self.setting(name) {
            return Some(setting.value.clone());
        }
        let directive = table::find(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        default(directive)
    }

    pub(super) fn bool(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Bool(value)) => value,
            _ => panic!("{name} is not a bool in the table"),
        }
    }

    pub(super) fn number(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Int(value)) => value,
            _ => panic!("{name} is not a number in the table"),
        }
    }

    /// A number whose range in the table fits the type.
    pub(super) fn int<T: TryFrom<i64>>(&self, name: &str) -> T {
        let number = self.number(name);
        T::try_from(number)
            .unwrap_or_else(|_| panic!("{name}: {number} is out of its type's range"))
    }

    /// A number where 0 and less mean "no limit", kept within the type.
    pub(super) fn limit<T: TryFrom<i64> + Limit>(&self, name: &str) -> Option<T> {
        let number = self.number(name);
        (number > 0).then(|| T::try_from(number).unwrap_or(T::MOST))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.value(name) {
            Some(Value::Text(value)) => Some(value),
            None => None,
            _ => panic!("{name} is not a text in the table"),
        }
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::List(value)) => value,
            None => Vec::new(),
            _ => panic!("{name} is not a list in the table"),
        }
    }
}

/// The types of limits.
pub(super) trait Limit {
    /// What a larger number is cut to.
    const MOST: Self;
}

impl Limit for u16 {
    const MOST: Self = u16::MAX;
}

impl Limit for u32 {
    const MOST: Self = u32::MAX;
}

impl Limit for u64 {
    const MOST: Self = u64::MAX;
}

impl Limit for usize {
    const MOST: Self = usize::MAX;
}
