//! Takes typed values out of TOML tables and collects every problem on the way, instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::{Table, Value};

use crate::problems::Found;

/// What all readers of one file share.
pub(crate) struct Sink {
    pub(crate) found: RefCell<Found>,
    /// Overrides not yet used, by variable name without the prefix: `INGEST__LISTEN`.
    pub(crate) overrides: RefCell<BTreeMap<String, String>>,
    prefix: &'static str,
}

/// Reads one table.
pub(crate) struct Reader<'a> {
    sink: &'a Sink,
    path: String,
    table: Table,
    /// Settings the table may have, as they are asked for; listed when there is an unknown one.
    known: Vec<&'static str>,
    /// Elements of arrays have no name in the environment.
    overridable: bool,
}

/// A value, and where it stands for the problem's text.
struct Setting {
    value: Written,
    place: String,
}

/// From the file, or from the environment, where everything is text.
enum Written {
    File(Value),
    Environment(String),
}

impl Sink {
    pub(crate) fn new(prefix: &'static str, overrides: BTreeMap<String, String>) -> Self {
        Self {
            found: RefCell::default(),
            overrides: RefCell::new(overrides),
            prefix,
        }
    }

    pub(crate) fn add(&self, place: impl Into<String>, text: impl fmt::Display) {
        self.found.borrow_mut().add(place, text);
    }

    /// Overrides that no reader asked for.
    pub(crate) fn report_unused_overrides(&self) {
        for name in self.overrides.borrow().keys() {
            self.add(
                format!("{}{name}", self.prefix),
                "names no setting that the environment can override",
            );
        }
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn root(sink: &'a Sink, table: Table) -> Self {
        Self {
            sink,
            path: String::new(),
            table,
            known: Vec::new(),
            overridable: true,
        }
    }

    /// A section; an absent one reads as empty.
    pub(crate) fn section(&mut self, key: &'static str) -> Reader<'a> {
        self.known.push(key);
        let table = match self.table.remove(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.sink.add(
                    self.place(key),
                    format!("must be a section, not {}", described(&other)),
                );
                Table::new()
            }
        };
        Reader {
            sink: self.sink,
            path: self.place(key),
            table,
            known: Vec::new(),
            overridable: self.overridable,
        }
    }

    /// `[[key]]`, in the file's order.
    pub(crate) fn sections(&mut self, key: &'static str) -> Vec<Reader<'a>> {
        self.known.push(key);
        let elements = match self.table.remove(key) {
            None => Vec::new(),
            Some(Value::Array(elements)) => elements,
            Some(other) => {
                let text = format!(
                    "must be written [[{key}]], once for each; it is {}",
                    described(&other)
                );
                self.sink.add(self.place(key), text);
                Vec::new()
            }
        };
        let mut readers = Vec::new();
        for (index, element) in elements.into_iter().enumerate() {
            let path = format!("{}[{index}]", self.place(key));
            match element {
                Value::Table(table) => {
                    readers.push(Reader {
                        sink: self.sink,
                        path,
                        table,
                        known: Vec::new(),
                        overridable: false,
                    });
                }
                other => self
                    .sink
                    .add(path, format!("must be a section, not {}", described(&other))),
            }
        }
        readers
    }

    /// A text; empty is as good as absent.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<String> {
        self.text_and_place(key).map(|(text, _)| text)
    }

    fn text_and_place(&mut self, key: &'static str) -> Option<(String, String)> {
        let found = self.take(key)?;
        match found.value {
            Written::Environment(text) | Written::File(Value::String(text)) => {
                (!text.is_empty()).then_some((text, found.place))
            }
            Written::File(other) => {
                self.sink
                    .add(found.place, format!("must be a text, not {}", described(&other)));
                None
            }
        }
    }

    /// A file's or directory's name.
    pub(crate) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// A text with a form; `None` both where it is absent and where it is wrong, which is then a problem.
    pub(crate) fn parsed<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (text, place) = self.text_and_place(key)?;
        parse(&text).map_err(|cause| self.sink.add(place, cause)).ok()
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], default: T) -> T {
        self.parsed(key, |text| {
            words
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value)
                .ok_or_else(|| {
                    let all: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                    format!("must be {}, not {text:?}", all.join(" or "))
                })
        })
        .unwrap_or(default)
    }

    /// A whole number within a range.
    pub(crate) fn whole<T>(&mut self, key: &'static str, range: RangeInclusive<T>, default: T) -> T
    where
        T: TryFrom<i64> + PartialOrd + Copy + fmt::Display,
    {
        let Some(found) = self.take(key) else {
            return default;
        };
        let number = match found.value {
            Written::File(Value::Integer(number)) => Some(number),
            Written::Environment(text) => text.trim().parse().ok(),
            Written::File(_) => None,
        };
        let number = number
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number));
        number.unwrap_or_else(|| {
            let text = format!("must be a whole number from {} to {}", range.start(), range.end());
            self.sink.add(found.place, text);
            default
        })
    }

    /// A number that is not negative.
    pub(crate) fn amount(&mut self, key: &'static str, default: f64) -> f64 {
        let Some(found) = self.take(key) else {
            return default;
        };
        let number = match found.value {
            Written::File(Value::Float(number)) => Some(number),
            // Amounts are small; the cast is exact far beyond any of them.
            Written::File(Value::Integer(number)) => i32::try_from(number).ok().map(f64::from),
            Written::Environment(text) => text.trim().parse().ok(),
            Written::File(_) => None,
        };
        number
            .filter(|number| number.is_finite() && *number >= 0.0)
            .unwrap_or_else(|| {
                self.sink
                    .add(found.place, "must be a number that is not negative");
                default
            })
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(found) = self.take(key) else {
            return default;
        };
        let flag = match &found.value {
            Written::File(Value::Boolean(flag)) => Some(*flag),
            Written::Environment(text) => text.trim().parse().ok(),
            Written::File(_) => None,
        };
        flag.unwrap_or_else(|| {
            self.sink.add(found.place, "must be true or false");
            default
        })
    }

    /// A list of texts; `None` where it is absent.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let found = self.take(key)?;
        let elements = match found.value {
            Written::File(Value::Array(elements)) => elements,
            Written::File(other) => {
                self.sink.add(
                    found.place,
                    format!("must be a list of texts, not {}", described(&other)),
                );
                return None;
            }
            Written::Environment(_) => {
                self.sink
                    .add(found.place, "is a list, which the environment cannot override");
                return None;
            }
        };
        let mut texts = Vec::new();
        for (index, element) in elements.into_iter().enumerate() {
            match element {
                Value::String(text) if !text.is_empty() => texts.push(text),
                other => {
                    let text = format!("must be a text that is not empty, not {}", described(&other));
                    self.sink.add(format!("{}[{index}]", found.place), text);
                }
            }
        }
        Some(texts)
    }

    /// Adds a problem with one of the section's keys.
    pub(crate) fn problem(&self, key: &str, text: impl fmt::Display) {
        self.sink.add(self.place(key), text);
    }

    /// Call when everything was asked for: what is left is not a setting.
    pub(crate) fn finish(self) {
        for key in self.table.keys() {
            let place = self.place(key);
            self.sink.add(
                place,
                format!("is not a setting here; known are {}", self.known.join(", ")),
            );
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Setting> {
        self.known.push(key);
        let from_file = self.table.remove(key);
        if self.overridable {
            let name = self.place(key).to_uppercase().replace('.', "__");
            if let Some(text) = self.sink.overrides.borrow_mut().remove(&name) {
                let place = format!("{}{name}", self.sink.prefix);
                return Some(Setting {
                    value: Written::Environment(text),
                    place,
                });
            }
        }
        Some(Setting {
            value: Written::File(from_file?),
            place: self.place(key),
        })
    }

    fn place(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// A value's kind, never its content: a secret may have been written where it does not belong.
fn described(value: &Value) -> &'static str {
    match value {
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}
