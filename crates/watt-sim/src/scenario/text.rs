//! A scenario as a file: what [`Scenario::parse`] reads.

use super::{Goal, Network, People, Scenario};
use crate::storage::Habits;
use toml::{Table, Value};

impl Scenario {
    /// The file of this scenario: only what is not as it is by default.
    ///
    /// # Errors
    /// A number that the format can't hold.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        let mut file = Table::try_from(self)?;
        let plain = [
            ("network", Table::try_from(Network::default())?),
            ("people", Table::try_from(People::default())?),
            ("storage", Table::try_from(Habits::default())?),
            ("goal", Table::try_from(Goal::default())?),
        ];
        for (name, plain) in plain {
            if let Some(Value::Table(said)) = file.get_mut(name) {
                said.retain(|key, value| plain.get(key) != Some(value));
            }
        }
        if let Some(Value::Array(steps)) = file.get_mut("at") {
            let everybody = Value::String("all".to_owned());
            for step in steps.iter_mut().filter_map(Value::as_table_mut) {
                step.retain(|key, value| key != "who" || *value != everybody);
            }
        }
        file.retain(|_, value| match value {
            Value::Table(table) => !table.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => true,
        });
        toml::to_string(&file)
    }
}
