//! The file's values that are more than a TOML type. The errors say what is right; TOML adds where.

use pipeline::options::{Budget, value};
use serde::de::{Deserialize, Deserializer, Error};

use super::LIST_MAX;

/// A user name of Bitbucket; its database has room for 255.
const NAME_CHARS_MAX: usize = 255;

pub(super) fn model<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    one(from, value::model)
}

pub(super) fn language<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    one(from, value::language)
}

pub(super) fn budget<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Budget>, D::Error> {
    one(from, value::budget)
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    one(from, value::seconds)
}

pub(super) fn paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    list(from, value::path)
}

pub(super) fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    list(from, |name| {
        let is_name =
            (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        is_name.then(|| name.to_owned()).ok_or("takes user names")
    })
}

fn one<'de, D: Deserializer<'de>, T>(
    from: D,
    read: impl FnOnce(&str) -> value::Read<T>,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    read(&text).map(Some).map_err(D::Error::custom)
}

fn list<'de, D: Deserializer<'de>>(
    from: D,
    read: impl Fn(&str) -> value::Read<String>,
) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    if texts.len() > LIST_MAX {
        return Err(D::Error::custom(format!("takes at most {LIST_MAX}")));
    }
    texts
        .iter()
        .map(|text| read(text).map_err(D::Error::custom))
        .collect()
}
