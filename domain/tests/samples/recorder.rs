//! A deserializer that notes which fields and variants the types that it reads have, and which of them the JSON has.

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde_json::{Error, Value};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Fields of each struct, and whether some JSON had them.
    pub fields: BTreeMap<(&'static str, &'static str), bool>,
    /// `<enum> <variant>` of each.
    pub variants: BTreeSet<String>,
}

/// Reads a value, noting.
pub fn read<T: DeserializeOwned>(value: Value, seen: &RefCell<Seen>) -> Result<T, Error> {
    T::deserialize(Recorder { value, seen })
}

struct Recorder<'a> {
    value: Value,
    seen: &'a RefCell<Seen>,
}

impl<'a> Recorder<'a> {
    fn with(&self, value: Value) -> Recorder<'a> {
        Recorder {
            value,
            seen: self.seen,
        }
    }
}

impl<'de> Deserializer<'de> for Recorder<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Array(values) => visitor.visit_seq(Elements {
                values: values.into_iter(),
                seen: self.seen,
            }),
            Value::Object(map) => {
                // As the log's reader hands them over: the tag first, so that the content is not buffered.
                let mut entries: Vec<_> = map.into_iter().collect();
                entries.sort_by_key(|(key, _)| key != "type");
                visitor.visit_map(Entries {
                    entries: entries.into_iter(),
                    value: None,
                    seen: self.seen,
                })
            }
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        for field in fields {
            let has = self.value.get(field).is_some();
            *self
                .seen
                .borrow_mut()
                .fields
                .entry((name, field))
                .or_default() |= has;
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.seen
            .borrow_mut()
            .variants
            .extend(variants.iter().map(|variant| format!("{name} {variant}")));
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// Only variants without content stand in events by themselves.
impl<'de> EnumAccess<'de> for Recorder<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name = self.value.as_str().unwrap_or_default().to_owned();
        let variant = seed.deserialize(name.into_deserializer())?;
        let rest = self.with(Value::Null);
        Ok((variant, rest))
    }
}

impl<'de> VariantAccess<'de> for Recorder<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(Error::custom("a variant with content"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("a variant with content"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(Error::custom("a variant with content"))
    }
}

struct Elements<'a> {
    values: std::vec::IntoIter<Value>,
    seen: &'a RefCell<Seen>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let seen = self.seen;
        self.values
            .next()
            .map(|value| seed.deserialize(Recorder { value, seen }))
            .transpose()
    }
}

struct Entries<'a> {
    entries: std::vec::IntoIter<(String, Value)>,
    value: Option<Value>,
    seen: &'a RefCell<Seen>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = self.value.take().unwrap_or_default();
        seed.deserialize(Recorder {
            value,
            seen: self.seen,
        })
    }
}
