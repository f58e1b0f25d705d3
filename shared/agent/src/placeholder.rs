//! Placeholders in command lines, environments and files of agents: `{model}`, `{base_url}`.

/// What may stand between braces. A brace with anything else behind it is text: agents' files are often JSON.
pub(crate) const NAMES: [&str; 9] = [
    "prompt",
    "prompt_file",
    "work_tree",
    "home",
    "tmp",
    "model",
    "base_url",
    "key",
    "port",
];

/// What is put in the places of one run, in the order of [`NAMES`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Values([String; NAMES.len()]);

impl Values {
    /// The same with `value` for `name`, which is one of [`NAMES`].
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let place = NAMES.iter().zip(&mut self.0).find(|(known, _)| **known == name);
        if let Some((_, place)) = place {
            *place = value.into();
        }
        self
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut places = NAMES.iter().zip(&self.0);
        places
            .find(|(known, _)| **known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// `template` with every known placeholder replaced by its value after `write` had its way with it. What a value
/// contains is never looked at again.
pub(crate) fn fill(template: &str, values: &Values, write: fn(&str) -> String) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, name, after)) = next(rest) {
        filled.push_str(before);
        match values.get(name) {
            Some(value) => filled.push_str(&write(value)),
            None => filled.push_str(&rest[before.len()..rest.len() - after.len()]),
        }
        rest = after;
    }
    filled + rest
}

/// A value as it is.
pub(crate) fn plain(value: &str) -> String {
    value.to_owned()
}

/// A value inside a double-quoted string of JSON, TOML or YAML.
pub(crate) fn quoted(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            // The one escape of control characters that all three languages have.
            c if c.is_control() => escaped.extend(format!("\\u{:04x}", c as u32).chars()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The first thing in `template` that looks like a placeholder and is none: a typing mistake.
pub(crate) fn unknown(template: &str) -> Option<&str> {
    let mut rest = template;
    while let Some((_, name, after)) = next(rest) {
        if !NAMES.contains(&name) {
            return Some(name);
        }
        rest = after;
    }
    None
}

/// Whether `template` has the placeholder `name`.
pub(crate) fn has(template: &str, name: &str) -> bool {
    template.contains(&format!("{{{name}}}"))
}

/// The text before the first `{word}`, the word, and the text behind it.
fn next(template: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = template[from..].find('{').map(|at| from + at) {
        let word = &template[open + 1..];
        let length = word
            .bytes()
            .take_while(|byte| byte.is_ascii_lowercase() || *byte == b'_')
            .count();
        if length > 0 && word[length..].starts_with('}') {
            return Some((&template[..open], &word[..length], &word[length + 1..]));
        }
        from = open + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_filled_in_once_and_other_braces_stay() {
        let values = Values::default().with("model", "m{key}\"").with("key", "secret");
        for (template, filled) in [
            ("--model={model}", "--model=m{key}\""),
            ("{model}{model}", "m{key}\"m{key}\""),
            (r#"{"a":{"model":1}}"#, r#"{"a":{"model":1}}"#),
            ("{ model } {} {Model} {{key}}", "{ model } {} {Model} {secret}"),
            ("{model", "{model"),
            ("", ""),
        ] {
            assert_eq!(fill(template, &values, plain), filled, "{template}");
        }
        assert_eq!(fill(r#"{"m":"{model}"}"#, &values, quoted), r#"{"m":"m{key}\""}"#);
    }

    #[test]
    fn a_typing_mistake_is_found() {
        assert_eq!(unknown("{prompt_file} {promt}"), Some("promt"));
        assert_eq!(unknown(r#"{"a": {base_url}}"#), None);
    }

    #[test]
    fn a_value_does_not_leave_its_string() {
        let text = format!("{{\"m\":\"{}\"}}", quoted("a\"b\\c\nd\u{7f}"));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["m"], "a\"b\\c\nd\u{7f}");
        let text = format!("m = \"{}\"", quoted("a\"b\\c\nd\u{7f}"));
        let toml: toml::Table = text.parse().unwrap();
        assert_eq!(toml["m"].as_str(), Some("a\"b\\c\nd\u{7f}"));
    }
}
