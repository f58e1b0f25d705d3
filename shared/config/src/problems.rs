//! Everything that is wrong with a configuration, at once.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's path, such as `connection[1].base_url`, or the file's name for its syntax.
    pub place: String,
    /// What is wrong, as a sentence without a full stop.
    pub text: String,
}

/// Why a configuration cannot be used; never empty. `Display` lists every problem, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// One problem, found by somebody who knows more than the configuration does.
    pub fn one(place: impl Into<String>, text: impl fmt::Display) -> Self {
        Self(vec![Problem {
            place: place.into(),
            text: text.to_string(),
        }])
    }

    /// The problems, in the order they were found.
    pub fn all(&self) -> &[Problem] {
        &self.0
    }

    /// Both as one; what both name is listed once.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        for problem in more.0 {
            if !self.0.contains(&problem) {
                self.0.push(problem);
            }
        }
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => writeln!(f, "the configuration has 1 problem:")?,
            count => writeln!(f, "the configuration has {count} problems:")?,
        }
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index + 1 == self.0.len() { "" } else { "\n" };
            write!(f, "  {}: {}{end}", problem.place, problem.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Problems while they are being found.
#[derive(Debug, Default)]
pub(crate) struct Found(Vec<Problem>);

impl Found {
    pub(crate) fn add(&mut self, place: impl Into<String>, text: impl fmt::Display) {
        self.0.push(Problem {
            place: place.into(),
            text: text.to_string(),
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value, if nothing is wrong.
    pub(crate) fn or<T>(self, value: Option<T>) -> Result<T, Problems> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            None if self.0.is_empty() => unreachable!("a value is only left out together with a problem"),
            _ => Err(Problems(self.0)),
        }
    }
}
