//! The canonical encoding, written in one pass into one buffer.
//!
//! DAG-CBOR orders the fields of a map by their encoded names, and types declare them in the order in which people read them. So each
//! field is written as it comes, and when the last one is there those that are not in order are moved. `serde_ipld_dagcbor` writes
//! every field into memory of its own first, which for a node that encodes whatever it decodes was a third of all its work; what is
//! rare here (numbers beyond 64 bits, floats, CIDs) it still encodes.

use alloc::vec::Vec;
use cid::serde::CID_SERDE_PRIVATE_IDENTIFIER;
use core::fmt;
use serde::Serialize;
use serde::ser::{self, Serializer};

/// First three bits of an item, as the top of its first byte.
#[derive(Clone, Copy)]
struct Major(u8);

impl Major {
    const UNSIGNED: Self = Self(0);
    const NEGATIVE: Self = Self(1 << 5);
    const BYTES: Self = Self(2 << 5);
    const TEXT: Self = Self(3 << 5);
    const LIST: Self = Self(4 << 5);
    const MAP: Self = Self(5 << 5);
}

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

/// A value that DAG-CBOR can't express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inexpressible;

impl fmt::Display for Inexpressible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DAG-CBOR can't express this value")
    }
}

impl core::error::Error for Inexpressible {}

impl ser::Error for Inexpressible {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Appends items to a buffer.
pub(super) struct Encoder {
    out: Vec<u8>,
    /// Where the fields of all maps that are being written begin and end, the innermost map's last.
    fields: Vec<(usize, usize)>,
}

/// Room for the fields of most values, with all that they hold.
const FIELDS_USUAL: usize = 32;

impl Encoder {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
            fields: Vec::with_capacity(FIELDS_USUAL),
        }
    }

    /// What was written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// What was written. Many small values are kept for long, so memory of which they fill less than half is given back.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        if self.out.len() < self.out.capacity() / 2 {
            self.out.shrink_to_fit();
        }
        self.out
    }

    fn head(&mut self, major: Major, number: u64) {
        let (bytes, len) = head(major, number);
        self.out.extend(bytes.iter().take(len));
    }

    fn len_head(&mut self, major: Major, len: usize) -> Result<(), Inexpressible> {
        self.head(major, u64::try_from(len).map_err(|_| Inexpressible)?);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Inexpressible> {
        self.len_head(Major::TEXT, text.len())?;
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// What is rare, by the library.
    fn rarely<T: Serialize>(&mut self, value: &T) -> Result<(), Inexpressible> {
        let bytes = serde_ipld_dagcbor::to_vec(value).map_err(|_| Inexpressible)?;
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    /// Begins a map whose fields follow.
    fn map(&mut self, len: Option<usize>) -> Result<Fields<'_>, Inexpressible> {
        let head_at = self.out.len();
        if let Some(len) = len {
            self.len_head(Major::MAP, len)?;
        }
        let first = self.fields.len();
        Ok(Fields {
            encoder: self,
            first,
            head_at,
            len,
        })
    }

    fn list(&mut self, len: Option<usize>) -> Result<Elements<'_>, Inexpressible> {
        let head_at = self.out.len();
        if let Some(len) = len {
            self.len_head(Major::LIST, len)?;
        }
        Ok(Elements {
            encoder: self,
            head_at,
            is_headed: len.is_some(),
            n: 0,
        })
    }

    /// Puts a head before what was written since `at`.
    fn insert_head(&mut self, at: usize, major: Major, len: usize) -> Result<(), Inexpressible> {
        let (bytes, n) = head(major, u64::try_from(len).map_err(|_| Inexpressible)?);
        self.out.splice(at..at, bytes.into_iter().take(n));
        Ok(())
    }

    /// Moves the fields that began since `first` into their order, up to the end of the buffer.
    fn sort_fields(&mut self, first: usize) {
        let end = self.out.len();
        let fields = self.fields.get_mut(first..).unwrap_or_default();
        let mut begin = end;
        for field in fields.iter_mut().rev() {
            field.1 = begin;
            begin = field.0;
        }
        let out = &self.out;
        let bytes = |field: &(usize, usize)| out.get(field.0..field.1).unwrap_or_default();
        if !fields.is_sorted_by(|one, next| bytes(one) <= bytes(next)) {
            fields.sort_unstable_by(|one, other| bytes(one).cmp(bytes(other)));
            // In order behind the end, and then back over where they were.
            for field in fields.iter() {
                self.out.extend_from_within(field.0..field.1);
            }
            self.out.copy_within(end.., begin);
            self.out.truncate(end);
        }
        self.fields.truncate(first);
    }
}

/// The shortest head, and how many of its bytes count.
fn head(major: Major, number: u64) -> ([u8; 9], usize) {
    let Major(top) = major;
    let mut bytes = [0; 9];
    let [_, _, _, _, _, _, high, low] = number.to_be_bytes();
    let len = if number < 24 {
        bytes[0] = top | low;
        1
    } else if number <= 0xff {
        bytes[..2].copy_from_slice(&[top | 24, low]);
        2
    } else if number <= 0xffff {
        bytes[..3].copy_from_slice(&[top | 25, high, low]);
        3
    } else if let Ok(number) = u32::try_from(number) {
        bytes[0] = top | 26;
        bytes[1..5].copy_from_slice(&number.to_be_bytes());
        5
    } else {
        bytes[0] = top | 27;
        bytes[1..].copy_from_slice(&number.to_be_bytes());
        9
    };
    (bytes, len)
}

/// The fields of a map, as they come.
pub(super) struct Fields<'a> {
    encoder: &'a mut Encoder,
    /// Place of its first field among all that are being written.
    first: usize,
    head_at: usize,
    /// How many there will be, if it was said: then the head is written.
    len: Option<usize>,
}

impl Fields<'_> {
    fn begin(&mut self) {
        let at = self.encoder.out.len();
        self.encoder.fields.push((at, at));
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Inexpressible> {
        self.begin();
        self.encoder.text(name)?;
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), Inexpressible> {
        let found = self.encoder.fields.len().saturating_sub(self.first);
        self.encoder.sort_fields(self.first);
        match self.len {
            Some(len) if len == found => Ok(()),
            Some(_) => Err(Inexpressible),
            None => self.encoder.insert_head(self.head_at, Major::MAP, found),
        }
    }
}

/// The elements of a list.
pub(super) struct Elements<'a> {
    encoder: &'a mut Encoder,
    head_at: usize,
    is_headed: bool,
    n: usize,
}

impl Elements<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Inexpressible> {
        self.n = self.n.saturating_add(1);
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), Inexpressible> {
        if self.is_headed {
            return Ok(());
        }
        self.encoder.insert_head(self.head_at, Major::LIST, self.n)
    }
}

/// A CID's bytes under the name by which the library knows them.
struct Named<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Named<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(CID_SERDE_PRIVATE_IDENTIFIER, self.0)
    }
}

impl<'a> Serializer for &'a mut Encoder {
    type Ok = ();
    type Error = Inexpressible;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Elements<'a>;
    type SerializeMap = Fields<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Inexpressible> {
        self.out.push(if value { TRUE } else { FALSE });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Inexpressible> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Inexpressible> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Inexpressible> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Inexpressible> {
        match u64::try_from(value) {
            Ok(value) => self.head(Major::UNSIGNED, value),
            // `-1 - n` is written as `n`, which has all bits of the number turned.
            Err(_) => self.head(Major::NEGATIVE, (!value).cast_unsigned()),
        }
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Inexpressible> {
        self.rarely(&value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), Inexpressible> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Inexpressible> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Inexpressible> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Inexpressible> {
        self.head(Major::UNSIGNED, value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Inexpressible> {
        self.rarely(&value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Inexpressible> {
        self.rarely(&value)
    }

    fn serialize_f64(self, value: f64) -> Result<(), Inexpressible> {
        self.rarely(&value)
    }

    fn serialize_char(self, value: char) -> Result<(), Inexpressible> {
        self.text(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Inexpressible> {
        self.text(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Inexpressible> {
        self.len_head(Major::BYTES, value.len())?;
        self.out.extend_from_slice(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Inexpressible> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Inexpressible> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Inexpressible> {
        self.out.push(NULL);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Inexpressible> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Inexpressible> {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Inexpressible> {
        if name == CID_SERDE_PRIVATE_IDENTIFIER {
            self.rarely(&Named(value))
        } else {
            value.serialize(self)
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Inexpressible> {
        self.head(Major::MAP, 1);
        self.text(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'a>, Inexpressible> {
        self.list(len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Elements<'a>, Inexpressible> {
        self.list(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Elements<'a>, Inexpressible> {
        self.list(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements<'a>, Inexpressible> {
        self.head(Major::MAP, 1);
        self.text(variant)?;
        self.list(Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Fields<'a>, Inexpressible> {
        self.map(len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Fields<'a>, Inexpressible> {
        self.map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'a>, Inexpressible> {
        self.head(Major::MAP, 1);
        self.text(variant)?;
        self.map(Some(len))
    }
}

impl ser::SerializeMap for Fields<'_> {
    type Ok = ();
    type Error = Inexpressible;

    /// Names are texts.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Inexpressible> {
        self.begin();
        let at = self.encoder.out.len();
        key.serialize(&mut *self.encoder)?;
        let is_text = |byte: &u8| byte & 0xe0 == Major::TEXT.0;
        let first = self.encoder.out.get(at);
        first
            .filter(|byte| is_text(byte))
            .map(|_| ())
            .ok_or(Inexpressible)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Inexpressible> {
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), Inexpressible> {
        self.end()
    }
}

/// Serde has a trait of its own for each kind of list; here they are all the same.
macro_rules! lists {
    ($($kind:ident: $method:ident),+) => {$(
        impl ser::$kind for Elements<'_> {
            type Ok = ();
            type Error = Inexpressible;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Inexpressible> {
                self.element(value)
            }

            fn end(self) -> Result<(), Inexpressible> {
                self.end()
            }
        }
    )+};
}

lists! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}

/// And one for each kind of struct.
macro_rules! structs {
    ($($kind:ident),+) => {$(
        impl ser::$kind for Fields<'_> {
            type Ok = ();
            type Error = Inexpressible;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Inexpressible> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Inexpressible> {
                self.end()
            }
        }
    )+};
}

structs! { SerializeStruct, SerializeStructVariant }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cid::Cid;
    use crate::codec::encode;
    use crate::{BoundedVec, Hash};
    use alloc::boxed::Box;
    use alloc::collections::BTreeMap;
    use alloc::string::String;
    use alloc::vec;
    use proptest::prelude::*;

    /// Every kind of thing that serde knows, in structs whose fields are in no order.
    #[derive(Clone, Debug, Serialize)]
    enum Thing {
        Nothing,
        Truth(bool),
        Number(u64),
        Signed(i64),
        Wide(i128),
        Half(f64),
        Text(String),
        Letter(char),
        Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
        Link(Cid),
        Maybe(Option<Box<Self>>),
        List(Vec<Self>),
        Pair(Box<Self>, u16),
        Map(BTreeMap<String, Self>),
        #[serde(rename_all = "kebab-case")]
        Fields {
            zz: Box<Self>,
            a_much_longer_name_than_twenty_three_bytes: u8,
            bb: Option<Hash>,
            a: BoundedVec<i8, 4>,
            hidden_name: (),
        },
    }

    fn thing() -> impl Strategy<Value = Thing> {
        let leaf = prop_oneof![
            Just(Thing::Nothing),
            any::<bool>().prop_map(Thing::Truth),
            any::<u64>().prop_map(Thing::Number),
            prop_oneof![
                Just(23),
                Just(24),
                Just(255),
                Just(256),
                Just(65_535),
                Just(65_536),
                Just(1 << 32)
            ]
            .prop_map(Thing::Number),
            any::<i64>().prop_map(Thing::Signed),
            (-300i64..300).prop_map(Thing::Signed),
            any::<u64>().prop_map(|n| Thing::Wide(-1 - i128::from(n))),
            (-1e9..1e9).prop_map(Thing::Half),
            ".{0,40}".prop_map(Thing::Text),
            any::<char>().prop_map(Thing::Letter),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Thing::Bytes),
            any::<[u8; 32]>().prop_map(|bytes| Thing::Link(Cid(Hash(bytes)))),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let boxed = inner.clone().prop_map(Box::new);
            prop_oneof![
                proptest::option::of(boxed.clone()).prop_map(Thing::Maybe),
                proptest::collection::vec(inner.clone(), 0..30).prop_map(Thing::List),
                (boxed.clone(), any::<u16>()).prop_map(|(thing, n)| Thing::Pair(thing, n)),
                proptest::collection::btree_map(".{0,30}", inner, 0..6).prop_map(Thing::Map),
                (boxed, any::<u8>(), any::<Option<[u8; 32]>>(), any::<[i8; 2]>()).prop_map(
                    |(zz, n, bb, a)| Thing::Fields {
                        zz,
                        a_much_longer_name_than_twenty_three_bytes: n,
                        bb: bb.map(Hash),
                        a: BoundedVec::new(a.to_vec()).unwrap(),
                        hidden_name: (),
                    }
                ),
            ]
        })
    }

    proptest! {
        /// Whatever the library encodes comes out the same here, to the byte.
        #[test]
        fn the_same_bytes_as_the_library(thing in thing()) {
            prop_assert_eq!(encode(&thing), serde_ipld_dagcbor::to_vec(&thing).unwrap());
        }
    }

    /// Lists and maps that do not say how long they are get their heads in the end.
    #[test]
    fn lengths_may_be_said_late() {
        struct Late(bool);
        impl Serialize for Late {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if self.0 {
                    serializer.collect_seq((0..40).filter(|n| n % 3 == 0))
                } else {
                    let mut map = serializer.serialize_map(None)?;
                    for (name, value) in [("long", 1), ("b", 2), ("a", 3)] {
                        ser::SerializeMap::serialize_entry(&mut map, name, &value)?;
                    }
                    ser::SerializeMap::end(map)
                }
            }
        }
        for late in [Late(true), Late(false)] {
            assert_eq!(encode(&late), serde_ipld_dagcbor::to_vec(&late).unwrap());
        }
    }

    /// A map whose names are no texts can't be expressed, here as in the library.
    #[test]
    fn names_are_texts() {
        let map = BTreeMap::from([(1u8, 2u8)]);
        assert!(serde_ipld_dagcbor::to_vec(&map).is_err());
        assert_eq!(map.serialize(&mut Encoder::with_capacity(9)), Err(Inexpressible));
    }
}
