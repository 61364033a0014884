//! Lists, byte strings and texts with a bound in their type: what a peer sends can't choose our memory.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// More elements than the type allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} elements where at most {max} are allowed")]
pub struct TooMany {
    /// Elements given.
    pub len: usize,
    /// Elements allowed.
    pub max: usize,
}

/// A list of at most `MAX` elements.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoundedVec<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> BoundedVec<T, MAX> {
    /// The empty list.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// Checks the bound.
    ///
    /// # Errors
    /// [`TooMany`] above `MAX` elements.
    pub fn new(list: Vec<T>) -> Result<Self, TooMany> {
        if list.len() > MAX {
            Err(TooMany {
                len: list.len(),
                max: MAX,
            })
        } else {
            Ok(Self(list))
        }
    }

    /// Takes the elements out.
    #[must_use]
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }

    /// Adds an element if there is room.
    ///
    /// # Errors
    /// [`TooMany`] when the list is full.
    pub fn push(&mut self, element: T) -> Result<(), TooMany> {
        if self.0.len() >= MAX {
            return Err(TooMany {
                len: self.0.len().saturating_add(1),
                max: MAX,
            });
        }
        self.0.push(element);
        Ok(())
    }
}

impl<T, const MAX: usize> Default for BoundedVec<T, MAX> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T, const MAX: usize> Deref for BoundedVec<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a BoundedVec<T, MAX> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for BoundedVec<T, MAX> {
    type Error = TooMany;

    fn try_from(list: Vec<T>) -> Result<Self, TooMany> {
        Self::new(list)
    }
}

impl<T: Serialize, const MAX: usize> Serialize for BoundedVec<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for BoundedVec<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(core::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX} elements")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = elements.next_element()? {
                    if list.len() >= MAX {
                        return Err(A::Error::invalid_length(list.len().saturating_add(1), &self));
                    }
                    list.push(element);
                }
                Ok(list)
            }
        }
        deserializer
            .deserialize_seq(Elements::<T, MAX>(core::marker::PhantomData))
            .map(Self)
    }
}

/// A byte string of at most `MAX` bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoundedBytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> BoundedBytes<MAX> {
    /// Checks the bound.
    ///
    /// # Errors
    /// [`TooMany`] above `MAX` bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, TooMany> {
        if bytes.len() > MAX {
            Err(TooMany {
                len: bytes.len(),
                max: MAX,
            })
        } else {
            Ok(Self(bytes))
        }
    }

    /// Takes the bytes out.
    #[must_use]
    pub fn into_inner(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> Deref for BoundedBytes<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> Serialize for BoundedBytes<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for BoundedBytes<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?.into_vec();
        Self::new(bytes).map_err(D::Error::custom)
    }
}

/// A byte string of at most `MAX` bytes that many hold and nobody changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedBytes<const MAX: usize>(Arc<[u8]>);

impl<const MAX: usize> SharedBytes<MAX> {
    /// Checks the bound.
    ///
    /// # Errors
    /// [`TooMany`] above `MAX` bytes.
    pub fn new(bytes: Arc<[u8]>) -> Result<Self, TooMany> {
        if bytes.len() > MAX {
            Err(TooMany {
                len: bytes.len(),
                max: MAX,
            })
        } else {
            Ok(Self(bytes))
        }
    }

    /// The bytes, with whoever else holds them.
    #[must_use]
    pub fn into_inner(self) -> Arc<[u8]> {
        self.0
    }
}

impl<const MAX: usize> Serialize for SharedBytes<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for SharedBytes<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?.into_vec();
        Self::new(bytes.into()).map_err(D::Error::custom)
    }
}

/// A text of at most `MAX` bytes of UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoundedString<const MAX: usize>(String);

impl<const MAX: usize> BoundedString<MAX> {
    /// Checks the bound.
    ///
    /// # Errors
    /// [`TooMany`] above `MAX` bytes.
    pub fn new(text: String) -> Result<Self, TooMany> {
        if text.len() > MAX {
            Err(TooMany {
                len: text.len(),
                max: MAX,
            })
        } else {
            Ok(Self(text))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Serialize for BoundedString<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for BoundedString<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
