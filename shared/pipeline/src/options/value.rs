//! Values of options, as people type them in comments and write them in a repository's file. Each reads one value or
//! says, in words that follow the option's name, what is wrong with it.

use crate::options::{Budget, Commits, Effort};

/// A value, or what is wrong with it.
pub type Read<T> = Result<T, &'static str>;

/// Aliases are an operator's words.
const MODEL_BYTES_MAX: usize = 64;
/// A glob or a branch name that is longer is no name but an attack.
const NAME_BYTES_MAX: usize = 200;
/// Nine digits: a number beyond that would bound nothing.
const DIGITS_MAX: usize = 9;
/// BCP 47: the longest tag that is likely to be met.
const LANGUAGE_BYTES_MAX: usize = 35;
/// Git shortens commits to no fewer digits by itself; SHA-1 has 40.
const COMMIT_DIGITS: std::ops::RangeInclusive<usize> = 7..=40;

/// An alias of the configuration. Whether it exists is for the resolver to say.
pub fn model(text: &str) -> Read<String> {
    let is_alias = text.len() <= MODEL_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:/-".contains(&b));
    is_alias
        .then(|| text.to_owned())
        .ok_or("takes the alias of a configured model")
}

/// `low`, `medium` or `high`, in any case.
pub fn effort(text: &str) -> Read<Effort> {
    match text.to_ascii_lowercase().as_str() {
        "low" => Ok(Effort::Low),
        "medium" => Ok(Effort::Medium),
        "high" => Ok(Effort::High),
        _ => Err("takes `low`, `medium` or `high`"),
    }
}

/// `one` or `per-thread`, in any case.
pub fn commits(text: &str) -> Read<Commits> {
    match text.to_ascii_lowercase().as_str() {
        "one" => Ok(Commits::One),
        "per-thread" => Ok(Commits::PerThread),
        _ => Err("takes `one` or `per-thread`"),
    }
}

/// `$2.50`, `50k-tokens`.
pub fn budget(text: &str) -> Read<Budget> {
    const FORM: &str = "takes an amount such as `$2.50` or `50k-tokens`";
    if text.trim_start_matches('$').starts_with('-') {
        return Err("must be more than nothing");
    }
    let budget = match text.strip_prefix('$') {
        Some(dollars) => cents(dollars).map(Budget::UsdCents),
        None => tokens(&text.to_ascii_lowercase()).map(Budget::Tokens),
    };
    match budget {
        Some(Budget::UsdCents(0) | Budget::Tokens(0)) => Err("must be more than nothing"),
        Some(budget) => Ok(budget),
        None => Err(FORM),
    }
}

fn cents(dollars: &str) -> Option<u64> {
    let (whole, fraction) = dollars.split_once('.').unwrap_or((dollars, ""));
    let fraction = match fraction.len() {
        0 if !dollars.contains('.') => 0,
        1 => number(fraction)? * 10,
        2 => number(fraction)?,
        _ => return None,
    };
    let whole = if whole.is_empty() && dollars.len() > 1 {
        0
    } else {
        number(whole)?
    };
    Some(whole * 100 + fraction)
}

fn tokens(text: &str) -> Option<u64> {
    let count = text.strip_suffix("-tokens")?;
    if let Some(thousands) = count.strip_suffix('k') {
        return Some(number(thousands)? * 1_000);
    }
    match count.strip_suffix('m') {
        Some(millions) => Some(number(millions)? * 1_000_000),
        None => number(count),
    }
}

/// `20m`, `1h30m`, `90s`.
pub fn seconds(text: &str) -> Read<u64> {
    const FORM: &str = "takes a time such as `20m`, `1h30m` or `90s`";
    if text.starts_with('-') {
        return Err("must be more than nothing");
    }
    let mut rest = text;
    let mut total = 0_u64;
    for (unit, seconds) in [('h', 3_600), ('m', 60), ('s', 1)] {
        if let Some((count, behind)) = rest.split_once(|c: char| c.eq_ignore_ascii_case(&unit)) {
            total += number(count).ok_or(FORM)? * seconds;
            rest = behind;
        }
    }
    match (rest.is_empty() && !text.is_empty(), total) {
        (false, _) => Err(FORM),
        (true, 0) => Err("must be more than nothing"),
        (true, total) => Ok(total),
    }
}

/// At most nine digits and nothing else, so that no product of one overflows.
fn number(digits: &str) -> Option<u64> {
    let is_number = (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// A glob below the repository's root.
pub fn path(text: &str) -> Read<String> {
    if text.len() > NAME_BYTES_MAX || text.is_empty() {
        return Err("takes a path or glob of at most 200 bytes");
    }
    if text.contains('\\') || text.chars().any(is_unprintable) {
        return Err("takes a path with `/` between its parts and no invisible characters");
    }
    // `:` and `!` begin git's special pathspecs, `~` a home directory; `C:` is a drive.
    if text.starts_with(['/', ':', '!', '~']) || text.as_bytes().get(1) == Some(&b':') {
        return Err("takes a path below the repository's root, such as `src/**`");
    }
    if text.split('/').any(|part| part == "..") {
        return Err("must not contain `..`");
    }
    Ok(text.to_owned())
}

/// A branch name by git's rules (git-check-ref-format), and not one that reads as an option or a ref.
pub fn branch(text: &str) -> Read<String> {
    if text.len() > NAME_BYTES_MAX || text.is_empty() {
        return Err("takes a branch name of at most 200 bytes");
    }
    if text.starts_with('-') {
        return Err("takes a branch name, which must not begin with `-`");
    }
    let parts_are_names = text.split('/').all(|part| {
        !part.is_empty() && !part.starts_with('.') && !part.to_ascii_lowercase().ends_with(".lock")
    });
    let is_name = parts_are_names
        && !text.contains("..")
        && !text.contains("@{")
        && !text.ends_with('.')
        && text != "@"
        && !text.eq_ignore_ascii_case("HEAD")
        && !text.starts_with("refs/")
        && !text
            .chars()
            .any(|c| is_unprintable(c) || c.is_whitespace() || "~^:?*[\\".contains(c));
    is_name
        .then(|| text.to_owned())
        .ok_or("takes a name that git allows for a branch")
}

/// A commit, or the beginning of its SHA.
pub fn reference(text: &str) -> Read<String> {
    let is_commit = COMMIT_DIGITS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_commit
        .then(|| text.to_ascii_lowercase())
        .ok_or("takes 7 to 40 digits of a commit's SHA")
}

/// A language tag in the shape of BCP 47: `de`, `pt-BR`, `zh-Hant-TW`.
pub fn language(text: &str) -> Read<String> {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let is_tag = text.len() <= LANGUAGE_BYTES_MAX
        && (2..=8).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    is_tag
        .then(|| text.to_owned())
        .ok_or("takes a language tag such as `de` or `pt-BR`")
}

/// Controls, and characters that show nothing or turn the direction of what is beside them.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_money_or_tokens_and_more_than_nothing() {
        for (text, budget) in [
            ("$2.50", Budget::UsdCents(250)),
            ("$3", Budget::UsdCents(300)),
            ("$0.5", Budget::UsdCents(50)),
            ("$.05", Budget::UsdCents(5)),
            ("50k-tokens", Budget::Tokens(50_000)),
            ("2M-Tokens", Budget::Tokens(2_000_000)),
            ("700-tokens", Budget::Tokens(700)),
        ] {
            assert_eq!(super::budget(text), Ok(budget), "{text}");
        }
        for text in ["-5", "$-5", "-$5", "$0", "$0.00", "0-tokens", "-1-tokens"] {
            assert_eq!(super::budget(text), Err("must be more than nothing"), "{text}");
        }
        for text in [
            "",
            "$",
            "$.",
            "$1.",
            "$1.005",
            "5",
            "2.50",
            "€5",
            "50k",
            "k-tokens",
            "$1e9",
            "$9999999999",
            "+5",
        ] {
            assert!(super::budget(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_has_units_in_order() {
        for (text, expected) in [
            ("20m", 1200),
            ("90s", 90),
            ("1h", 3600),
            ("1h30m", 5400),
            ("1H5M1S", 3901),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "20",
            "m",
            "-5m",
            "0m",
            "5m1h",
            "20min",
            "1.5h",
            "9999999999s",
            "5 m",
            "m5",
        ] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_stays_below_the_root() {
        for text in [
            "src/**",
            "*.rs",
            "a b/c",
            "docs/readme.md",
            "a..b/c",
            ".github/**",
            "-x",
        ] {
            assert_eq!(path(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "/etc",
            "../a",
            "a/../b",
            "a/..",
            "..",
            "~/a",
            "C:/a",
            "c:a",
            ":(glob)a",
            "!a",
            "a\\b",
            "a\0b",
            "a\u{202e}b",
        ] {
            assert!(path(text).is_err(), "{text:?}");
        }
        assert!(path(&"a".repeat(201)).is_err());
    }

    #[test]
    fn a_branch_name_is_one_that_git_takes() {
        for text in [
            "fix/parser",
            "a",
            "feature/ünïcode",
            "JIRA-1_x",
            "a.b",
            "a#b",
            "a%b",
            "a@b",
        ] {
            assert_eq!(branch(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "-x",
            "--force",
            "a b",
            "a..b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[b",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.LOCK",
            "a.",
            "@",
            "a@{1}",
            "HEAD",
            "head",
            "refs/heads/x",
            "a\u{7f}",
            "a\u{200b}b",
        ] {
            assert!(branch(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn commits_and_languages_have_their_shape() {
        assert_eq!(reference("ABC1234").as_deref(), Ok("abc1234"));
        assert!(reference(&"a".repeat(40)).is_ok());
        for text in ["abc123", "abc123g", "HEAD~1", "", &"a".repeat(41)] {
            assert!(reference(text).is_err(), "{text}");
        }
        for text in ["de", "pt-BR", "zh-Hant-TW", "gsw", "sl-rozaj-biske-1994"] {
            assert!(language(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "d",
            "de_DE",
            "-de",
            "de-",
            "de--AT",
            "deutsch und englisch",
            "x-123456789",
            "d3",
        ] {
            assert!(language(text).is_err(), "{text}");
        }
    }

    #[test]
    fn models_are_named_by_alias() {
        assert!(model("fast").is_ok() && model("openai/gpt-5.1:high").is_ok());
        for text in ["", "-fast", "fa st", "fast`", "<b>", &"a".repeat(65)] {
            assert!(model(text).is_err(), "{text}");
        }
    }
}
