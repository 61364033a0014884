//! The environment, read once.

use std::collections::BTreeMap;

/// The variables that mean something to `watt`, and nothing else of the environment.
const NAMES: [&str; 11] = [
    "HOME",
    "NO_COLOR",
    "RUST_LOG",
    "WATT_ACCOUNT",
    "WATT_API",
    "WATT_CONFIG",
    "WATT_HOME",
    "WATT_LOG",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
];

/// The values of the variables that mean something to `watt`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the process's environment.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one reader of the environment"
    )]
    pub fn read() -> Self {
        let set = NAMES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        Self(set.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// An environment with just these values, for tests.
    #[must_use]
    pub fn of(values: &[(&str, &str)]) -> Self {
        Self(
            values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    /// The value of `name`; an empty variable counts as unset.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}
