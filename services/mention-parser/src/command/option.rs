//! Options: where they may stand, and what they set.

use pipeline::mention::{Class, Command, GrammarRefusal, OptionName, Options, Verb};
use pipeline::options::value::{self, Read};

use crate::prose;

use super::scan::{Scan, is_blank, is_line_end};

/// Of an unknown option's name, this much is told.
const NAME_CHARS_MAX: usize = 40;
/// What may stand behind an option's name or value without belonging to it.
const PUNCTUATION: &str = ".,;:!?";
/// More paths say less.
const PATHS_MAX: usize = 20;

/// Takes the options that stand here, and the blanks behind them. Whether a `--` alone has ended them.
pub(super) fn leading(scan: &mut Scan<'_>, options: &mut Options) -> Result<bool, GrammarRefusal> {
    loop {
        if scan.skip_word("--") {
            scan.skip_while(is_blank);
            return Ok(true);
        }
        if !is_option(scan) {
            return Ok(false);
        }
        take(scan, options)?;
        scan.skip_while(is_blank);
    }
}

/// Takes the options at the line's end, or before the first `--` alone; returns the line without them, if there are any.
/// Options with more text behind them are part of the text.
pub(super) fn trailing(
    line: &str,
    counted: &mut Scan<'_>,
    options: &mut Options,
) -> Result<Option<String>, GrammarRefusal> {
    let (start, end) = tail(line, counted);
    let Some(start) = start else { return Ok(None) };
    let mut scan = Scan::new(&line[start..end]);
    let taken = leading(&mut scan, options);
    counted.look(scan.looked_at());
    taken?;
    let behind = line[end..]
        .trim_start_matches(is_blank)
        .strip_prefix("--")
        .unwrap_or_default();
    Ok(Some(format!("{}{behind}", line[..start].trim_end())))
}

/// From where to where options stand at the end of the line, or at the end of what is before a `--` alone.
fn tail(line: &str, counted: &mut Scan<'_>) -> (Option<usize>, usize) {
    let mut scan = Scan::new(line);
    let mut start = None;
    let mut end = line.len();
    loop {
        scan.skip_while(is_blank);
        let here = line.len() - scan.rest().len();
        if scan.is_at_line_end() {
            break;
        }
        if scan.skip_word("--") {
            end = here;
            break;
        }
        if is_option(&mut scan) {
            start.get_or_insert(here);
            let (key, with_value) = name(&mut scan);
            let takes_value = OptionName::of_key(&key).is_none_or(|option| !option.row().value.is_empty());
            if !with_value && takes_value {
                argument(&mut scan);
            }
        } else {
            scan.skip_while(|c| !c.is_whitespace());
            start = None;
        }
    }
    counted.look(scan.looked_at());
    (start, end)
}

/// The known options that stand in prose as words of their own, each once, in their order; up to a `--` alone.
pub(super) fn in_text(text: &str) -> Vec<OptionName> {
    let mut found = Vec::new();
    if !text.contains("--") {
        return found;
    }
    let stands_alone = |at: usize| text[..at].chars().next_back().is_none_or(char::is_whitespace);
    for span in prose::spans(text) {
        for (offset, _) in text[span.clone()].match_indices("--") {
            let at = span.start + offset;
            if !stands_alone(at) {
                continue;
            }
            let word = text[at..span.end].split_whitespace().next().unwrap_or_default();
            if word == "--" {
                return found;
            }
            let key = word["--".len()..].split('=').next().unwrap_or_default();
            let key = key.trim_end_matches(|c| PUNCTUATION.contains(c)).to_lowercase();
            found.extend(OptionName::of_key(&key).filter(|option| !found.contains(option)));
        }
    }
    found
}

/// An option that does not go with the command's verb.
pub(super) fn misplaced(command: &Command) -> Option<OptionName> {
    let given = command.options.given();
    let verb = command.verb;
    given.into_iter().find(|option| match option {
        OptionName::Quiet => false,
        OptionName::Apply => verb != Verb::Describe,
        _ if matches!(verb.class(), Class::Control | Class::Query) => true,
        // A merge is one commit on the source branch or it is none; what an undo reverts was decided by the run it undoes.
        OptionName::NewPr
        | OptionName::Branch
        | OptionName::Suggest
        | OptionName::Path
        | OptionName::Commits
            if matches!(verb, Verb::Update | Verb::Undo) =>
        {
            true
        }
        OptionName::DryRun if verb == Verb::Update => true,
        // Of a plan it is kept for who carries it out, of a review it bounds the findings; answers are about all there is.
        OptionName::Path => matches!(verb, Verb::Ask | Verb::Explain | Verb::Describe),
        OptionName::NewPr
        | OptionName::Branch
        | OptionName::Suggest
        | OptionName::DryRun
        | OptionName::NoTest
        | OptionName::Commits
        | OptionName::SignOff => !verb.may_push(),
        _ => false,
    })
}

/// Whether an option stands here: two dashes and a letter.
fn is_option(scan: &mut Scan<'_>) -> bool {
    scan.look("--x".len());
    let key = scan.rest().strip_prefix("--");
    key.is_some_and(|key| key.starts_with(char::is_alphabetic))
}

/// Goes over an option's name; returns it in lower case. If a value follows behind `=`, goes over that, too, and says so.
fn name(scan: &mut Scan<'_>) -> (String, bool) {
    let key = key(scan);
    let with_value = value_behind_equals(scan).is_some();
    (key, with_value)
}

fn key(scan: &mut Scan<'_>) -> String {
    scan.skip_bytes("--".len());
    let typed = scan.take_while(|c| !c.is_whitespace() && c != '=');
    typed.trim_end_matches(|c| PUNCTUATION.contains(c)).to_lowercase()
}

fn value_behind_equals<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    scan.rest().starts_with('=').then(|| {
        scan.skip_bytes(1);
        value(scan)
    })
}

/// The value behind the blanks that follow an option's name; `None` where another option or the end does.
fn argument<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    scan.skip_while(is_blank);
    let ends = scan.is_at_line_end() || is_option(scan) || is_double_dash(scan);
    (!ends).then(|| value(scan))
}

fn is_double_dash(scan: &mut Scan<'_>) -> bool {
    scan.look("-- ".len());
    let behind = scan.rest().strip_prefix("--");
    behind.is_some_and(|behind| behind.chars().next().is_none_or(char::is_whitespace))
}

/// A value: up to the next white space, or what stands between two quotation marks on one line.
fn value<'a>(scan: &mut Scan<'a>) -> &'a str {
    if let Some(quoted) = scan.rest().strip_prefix('"') {
        let end = quoted
            .find(|c| c == '"' || is_line_end(c))
            .unwrap_or(quoted.len());
        scan.look(end + 1);
        // As behind a bare value, punctuation may stand behind a quoted one.
        let behind = quoted[end..]
            .strip_prefix('"')
            .map(|behind| behind.trim_start_matches(|c| PUNCTUATION.contains(c)));
        if let Some(behind) = behind
            && behind.chars().next().is_none_or(char::is_whitespace)
        {
            scan.skip_bytes(scan.rest().len() - behind.len());
            return &quoted[..end];
        }
    }
    scan.take_while(|c| !c.is_whitespace())
}

/// Goes over one option and sets it.
fn take(scan: &mut Scan<'_>, options: &mut Options) -> Result<(), GrammarRefusal> {
    let key = key(scan);
    let mut given = value_behind_equals(scan);
    let option =
        OptionName::of_key(&key).ok_or_else(|| GrammarRefusal::UnknownOption { name: harmless(&key) })?;
    let row = option.row();
    let bad = |why: &str| GrammarRefusal::BadValue {
        option,
        why: why.to_owned(),
    };
    if row.value.is_empty() {
        if given.is_some() {
            return Err(bad("takes no value"));
        }
        switch(options, option);
        return Ok(());
    }
    if given.is_none() {
        given = argument(scan);
    }
    let given = given
        .filter(|given| !given.is_empty())
        .ok_or_else(|| bad(&format!("needs a value: `{}`", row.value)))?;
    set(options, option, given)
}

fn switch(options: &mut Options, option: OptionName) {
    match option {
        OptionName::NewPr => options.new_pr = true,
        OptionName::Suggest => options.suggest = true,
        OptionName::DryRun => options.dry_run = true,
        OptionName::NoTest => options.no_test = true,
        OptionName::SignOff => options.sign_off = true,
        OptionName::Quiet => options.quiet = true,
        OptionName::Apply => options.apply = true,
        OptionName::Model
        | OptionName::Effort
        | OptionName::Budget
        | OptionName::Time
        | OptionName::Path
        | OptionName::Branch
        | OptionName::Commits
        | OptionName::Lang
        | OptionName::Ref => debug_assert!(false, "{option:?} takes a value"),
    }
}

fn set(options: &mut Options, option: OptionName, given: &str) -> Result<(), GrammarRefusal> {
    // A glob may end in what ends a sentence elsewhere.
    let plain = given.trim_end_matches(|c| PUNCTUATION.contains(c));
    let place = Place { option };
    match option {
        OptionName::Model => place.put(&mut options.model, value::model(plain)),
        OptionName::Effort => place.put(&mut options.effort, value::effort(plain)),
        OptionName::Budget => place.put(&mut options.budget, value::budget(plain)),
        OptionName::Time => place.put(&mut options.time_seconds, value::seconds(plain)),
        OptionName::Branch => place.put(&mut options.branch, value::branch(given)),
        OptionName::Commits => place.put(&mut options.commits, value::commits(plain)),
        OptionName::Lang => place.put(&mut options.lang, value::language(plain)),
        OptionName::Ref => place.put(&mut options.reference, value::reference(plain)),
        OptionName::Path => {
            let path = value::path(given).map_err(|why| place.bad(why))?;
            if !options.paths.contains(&path) {
                options.paths.push(path);
            }
            if options.paths.len() > PATHS_MAX {
                return Err(place.bad("may be given at most 20 times"));
            }
            Ok(())
        }
        OptionName::NewPr
        | OptionName::Suggest
        | OptionName::DryRun
        | OptionName::NoTest
        | OptionName::SignOff
        | OptionName::Quiet
        | OptionName::Apply => Err(place.bad("takes no value")),
    }
}

struct Place {
    option: OptionName,
}

impl Place {
    /// Sets what is not set yet; the same again is no contradiction.
    fn put<T: PartialEq>(&self, slot: &mut Option<T>, read: Read<T>) -> Result<(), GrammarRefusal> {
        let value = read.map_err(|why| self.bad(why))?;
        match slot {
            Some(known) if *known != value => Err(GrammarRefusal::Twice { option: self.option }),
            _ => {
                *slot = Some(value);
                Ok(())
            }
        }
    }

    fn bad(&self, why: &str) -> GrammarRefusal {
        GrammarRefusal::BadValue {
            option: self.option,
            why: why.to_owned(),
        }
    }
}

/// A name that nothing in Markdown comes of.
fn harmless(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '?'
        }
    };
    name.chars().take(NAME_CHARS_MAX).map(plain).collect()
}
