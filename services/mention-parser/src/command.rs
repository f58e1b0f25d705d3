//! From the text behind a mention to a command (commands-and-replies.md, EBNF): verb, options, text. Pure; every byte is
//! looked at a bounded number of times.

mod argument;
mod form;
mod near;
mod option;
mod scan;

use std::borrow::Cow;

use pipeline::mention::{Class, Command, GrammarRefusal, Options};

use self::form::Form;
use self::near::Miss;
use self::scan::{Scan, is_blank, is_line_end};

/// What may touch a mention or a verb without belonging to it.
const PUNCTUATION: &str = ".,;:!?)]}*_";
/// A line that begins with this many blanks, or with a tab, is code.
const CODE_INDENT: usize = 4;

/// A command and what it took to read it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) command: Command,
    /// How many bytes were looked at, all passes together.
    pub(crate) looked_at: usize,
}

/// Reads what stands behind the mention, up to the end of the comment, as Markdown source. What is not a known form is a
/// request in free text; what is nearly one, and would do harm as free text, is refused.
pub(crate) fn parse(behind_mention: &str) -> Parsed {
    let mut scan = Scan::new(behind_mention);
    let command = request(&mut scan).unwrap_or_else(Command::refused);
    Parsed {
        command,
        looked_at: scan.looked_at(),
    }
}

/// `[options] [verb [options]] [text [options]]` on the mention's line, then text. Where nothing but blanks follows the
/// mention on its line, the verb may begin the next line with text; options may not.
fn request(scan: &mut Scan<'_>) -> Result<Command, GrammarRefusal> {
    let mut options = Options::default();
    separators(scan);
    let mut ends_options = option::leading(scan, &mut options)?;
    let on_mention_line = !scan.is_at_line_end();
    let indentation = if on_mention_line { "" } else { to_next_text(scan) };
    let is_code = indentation.starts_with('\t') || indentation.len() >= CODE_INDENT;
    let is_text = ends_options || is_code;
    let forms = if is_text { Vec::new() } else { form::forms(scan) };
    if forms.is_empty() {
        scan.back(indentation.len());
    }
    let start = scan.rest();
    let mut head = "";
    if let Some(longest) = forms.first() {
        scan.skip_bytes(longest.end);
        let blanks = scan.take_while(is_blank).len();
        head = &start[..longest.end + blanks];
        if on_mention_line {
            ends_options = option::leading(scan, &mut options)?;
        }
    }
    let mut line = Cow::Borrowed(scan.take_while(|c| !is_line_end(c)));
    let says_text = ends_options || is_text || line.split_whitespace().any(|word| word == "--");
    if on_mention_line && !ends_options {
        line = option::trailing(&line, scan, &mut options)?.map_or(line, Cow::Owned);
    }
    let read = Read {
        forms: &forms,
        head,
        line: &line,
        below: scan.take_while(|_| true),
    };
    let mut command = read.command(ends_options || is_text)?;
    *command.options = options;
    if !says_text {
        command.options_in_text = option::in_text(&command.text);
    }
    match option::misplaced(&command) {
        Some(option) => Err(GrammarRefusal::NotHere {
            option,
            verb: command.verb,
        }),
        None => Ok(command),
    }
}

/// The parts of a request, before it is known whether its verb is one.
struct Read<'a> {
    /// The verbs the request may begin with, the longest first.
    forms: &'a [Form],
    /// The words of the longest and the blanks behind it.
    head: &'a str,
    /// The rest of the line, without options.
    line: &'a str,
    /// The lines below.
    below: &'a str,
}

impl Read<'_> {
    /// The first verb that takes what stands behind it; free text where none does, which `is_text` says it is meant to be.
    fn command(&self, is_text: bool) -> Result<Command, GrammarRefusal> {
        for form in self.forms {
            let line = format!("{}{}", &self.head[form.end..], self.line);
            let Some(taken) = argument::take(form.verb.row().argument, line.trim_start()) else {
                continue;
            };
            // Below a control verb stand remarks, which no agent reads.
            let text = match form.verb.class() {
                Class::Control | Class::Query => String::new(),
                Class::Work | Class::Read => joined(&taken.text, self.below),
            };
            return Ok(Command {
                argument: taken.argument,
                ..Command::of_verb(form.verb, text)
            });
        }
        let line = format!("{}{}", self.head, self.line);
        let mut command = Command::request(joined(&line, self.below));
        if !is_text {
            match near::miss(&line) {
                Some(Miss::Refused(refusal)) => return Err(refusal),
                Some(Miss::Noted(near)) => command.nearly = Some(Box::new(near)),
                None => {}
            }
        }
        Ok(command)
    }
}

/// The line and the lines below as one text with plain line ends.
fn joined(line: &str, below: &str) -> String {
    let text = if line.trim().is_empty() {
        without_leading_blank_lines(below).to_owned()
    } else {
        format!("{line}{below}")
    };
    text.trim_end().replace("\r\n", "\n").replace('\r', "\n")
}

/// Drops what only separates the mention from its request: punctuation and emphasis that touch the mention, then
/// blanks, commas, colons and lone dashes on its line.
fn separators(scan: &mut Scan<'_>) {
    scan.skip_while(|c| PUNCTUATION.contains(c));
    loop {
        scan.skip_while(|c| is_blank(c) || ",:".contains(c));
        if !scan.skip_word("-") {
            return;
        }
    }
}

/// Goes to the first text on the lines below; returns what its line is indented by.
fn to_next_text<'a>(scan: &mut Scan<'a>) -> &'a str {
    let gap = scan.take_while(char::is_whitespace);
    gap.rfind(is_line_end).map_or("", |end| &gap[end + 1..])
}

/// Drops blank lines at the beginning but keeps the indentation of the first line with text: an indented code block
/// stays one.
fn without_leading_blank_lines(text: &str) -> &str {
    let first_text = text.len() - text.trim_start().len();
    match text[..first_text].rfind(is_line_end) {
        Some(newline) => &text[newline + 1..],
        None => &text[first_text..],
    }
}

#[cfg(test)]
mod tests;
