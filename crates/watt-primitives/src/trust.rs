//! The one word of trust that transactions and the trust graph share (`docs/spec/trust.md` §1).

use serde::{Deserialize, Serialize};

/// How well somebody knows whom they trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustLevel {
    /// Met online.
    Online,
    /// Met in person.
    InPerson,
    /// Family, or a friend of years.
    Close,
}

impl TrustLevel {
    /// Its weight in the trust graph: 1, 2 or 3.
    #[must_use]
    pub const fn weight(self) -> u8 {
        match self {
            Self::Online => 1,
            Self::InPerson => 2,
            Self::Close => 3,
        }
    }

    /// The level with this weight.
    #[must_use]
    pub const fn of_weight(weight: u8) -> Option<Self> {
        match weight {
            1 => Some(Self::Online),
            2 => Some(Self::InPerson),
            3 => Some(Self::Close),
            _ => None,
        }
    }
}
