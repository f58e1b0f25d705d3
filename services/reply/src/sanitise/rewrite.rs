//! Markdown written anew from its parse.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Parser, Tag, TagEnd};

use super::{Policy, clean, code, destination, escape, info_string, longest_run};

/// Nesting beyond this is flattened: deeper text costs a longer prefix on every line.
const DEPTH_MAX: usize = 8;

/// Parses the text as CommonMark and writes what it shows, with escaped text and our own structure.
pub(crate) fn rewrite(text: &str, policy: Policy<'_>) -> String {
    let mut writer = Writer {
        policy,
        out: String::new(),
        prefixes: Vec::new(),
        lists: Vec::new(),
        links: Vec::new(),
        block: None,
        gap: Gap::None,
        fresh: true,
        strong: 0,
    };
    for event in merged(plain(Parser::new(text), policy)) {
        writer.event(event);
    }
    writer.out.truncate(writer.out.trim_end().len());
    writer.out
}

/// Turns HTML into text, images into their text and foreign links into their text and address.
fn plain<'t>(events: Parser<'t>, policy: Policy<'_>) -> Vec<Event<'t>> {
    let mut out = Vec::new();
    // Of each open link and image: the address, and whether it stays a link.
    let mut open: Vec<(CowStr<'t>, bool)> = Vec::new();
    for event in events {
        match event {
            Event::Html(text) | Event::InlineHtml(text) => out.push(Event::Text(text)),
            Event::Start(Tag::HtmlBlock) => out.push(Event::Start(Tag::Paragraph)),
            Event::End(TagEnd::HtmlBlock) => out.push(Event::End(TagEnd::Paragraph)),
            Event::Start(Tag::Image { dest_url, .. }) => open.push((dest_url, false)),
            Event::Start(Tag::Link { ref dest_url, .. }) => {
                let stays = escape::leads_to(dest_url, policy.base_url);
                open.push((dest_url.clone(), stays));
                if stays {
                    out.push(event);
                }
            }
            Event::End(TagEnd::Link | TagEnd::Image) => close(&mut out, open.pop()),
            event => out.push(event),
        }
    }
    out
}

/// Ends a link or image.
fn close<'t>(out: &mut Vec<Event<'t>>, opened: Option<(CowStr<'t>, bool)>) {
    let Some((address, stays)) = opened else { return };
    if stays && matches!(out.last(), Some(Event::Start(Tag::Link { .. }))) {
        // A link without text would vanish and join its neighbours to something new.
        out.pop();
        out.push(Event::Text(format!(" {address} ").into()));
    } else if stays {
        out.push(Event::End(TagEnd::Link));
    } else if !matches!(out.last(), Some(Event::Text(text)) if !address.is_empty() && text.ends_with(&*address))
    {
        // Except for an autolink, whose text is its address already.
        out.push(Event::Text(format!(" ({address})").into()));
    }
}

/// Joins texts that stand beside each other, so that `http:` and `//…` from two events are seen as the URL they form.
fn merged(events: Vec<Event<'_>>) -> Vec<Event<'_>> {
    let mut out: Vec<Event<'_>> = Vec::with_capacity(events.len());
    for event in events {
        match (out.last_mut(), event) {
            (Some(Event::Text(before)), Event::Text(text)) => *before = format!("{before}{text}").into(),
            (_, event) => out.push(event),
        }
    }
    out
}

/// What is owed before the next text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Line,
    Blank,
}

struct Writer<'p> {
    policy: Policy<'p>,
    out: String,
    /// What each line begins with: quote marks and list indentation.
    prefixes: Vec<String>,
    /// Next number of each open list; `None` for bullets.
    lists: Vec<Option<u64>>,
    /// Addresses of open links.
    links: Vec<String>,
    /// Language and text of the open code block.
    block: Option<(String, String)>,
    gap: Gap,
    /// Whether the next text stands where a block could begin.
    fresh: bool,
    /// Depth of strong text; headings become strong, and nested asterisks would close each other.
    strong: u32,
}

impl Writer<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(text) => {
                let text = code(&clean(&text, self.policy.beyond_bmp));
                self.put(&text);
            }
            Event::SoftBreak | Event::HardBreak => self.owe(Gap::Line),
            Event::Rule => self.owe(Gap::Blank),
            // Only extensions, none of which is switched on, have other events.
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { .. } | Tag::Strong => self.strong_start(),
            Tag::Emphasis => self.put("*"),
            Tag::Link { dest_url, .. } => {
                self.links.push(dest_url.into_string());
                self.put("[");
            }
            Tag::BlockQuote(_) => {
                self.settle();
                self.nest("> ");
                self.out.push_str(self.prefixes.last().map_or("", String::as_str));
                self.fresh = true;
            }
            Tag::CodeBlock(kind) => {
                let language = match kind {
                    CodeBlockKind::Fenced(info) => info_string(&info),
                    CodeBlockKind::Indented => String::new(),
                };
                self.block = Some((language, String::new()));
            }
            Tag::List(first) => {
                // Only a list that starts with 1 may follow text without a blank line.
                self.owe(if first.is_some_and(|n| n != 1) {
                    Gap::Blank
                } else {
                    Gap::Line
                });
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => self.owe(Gap::Blank),
            TagEnd::Heading(_) => {
                self.strong_end();
                self.owe(Gap::Blank);
            }
            TagEnd::Strong => self.strong_end(),
            TagEnd::Emphasis => self.put("*"),
            TagEnd::Link => {
                let address = self.links.pop().unwrap_or_default();
                self.put(&format!("]({})", destination(&address)));
            }
            TagEnd::BlockQuote(_) => {
                self.prefixes.pop();
                self.leave(Gap::Blank);
            }
            TagEnd::CodeBlock => self.code_block(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.owe(Gap::Blank);
            }
            TagEnd::Item => {
                self.prefixes.pop();
                self.leave(Gap::Line);
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((_, block)) = &mut self.block {
            block.push_str(text);
            return;
        }
        // Entities may have brought invisible characters back.
        let text = clean(text, self.policy.beyond_bmp);
        self.settle();
        let escaped = escape::text(&text, self.policy.base_url, self.fresh);
        self.put(&escaped);
    }

    fn strong_start(&mut self) {
        self.strong += 1;
        if self.strong == 1 {
            self.put("**");
        }
    }

    fn strong_end(&mut self) {
        self.strong = self.strong.saturating_sub(1);
        if self.strong == 0 {
            self.put("**");
        }
    }

    fn item(&mut self) {
        let marker = match self.lists.last_mut() {
            Some(Some(number)) => {
                let marker = format!("{number}. ");
                *number += 1;
                marker
            }
            _ => "- ".to_owned(),
        };
        self.put(&marker);
        self.fresh = true;
        self.nest(&" ".repeat(marker.len()));
    }

    fn code_block(&mut self) {
        let Some((language, text)) = self.block.take() else {
            return;
        };
        let text = clean(&text, self.policy.beyond_bmp);
        let ticks = "`".repeat((longest_run(&text, '`') + 1).max(3));
        self.put(&format!("{ticks}{language}"));
        for line in text.trim_end_matches('\n').split('\n').chain([ticks.as_str()]) {
            self.owe(Gap::Line);
            self.put(line);
        }
        self.owe(Gap::Blank);
    }

    fn nest(&mut self, prefix: &str) {
        let shown = if self.prefixes.len() < DEPTH_MAX {
            prefix
        } else {
            ""
        };
        self.prefixes.push(shown.to_owned());
    }

    fn owe(&mut self, gap: Gap) {
        // At the very beginning, and right behind a list's marker, there is nothing to be apart from.
        let nothing_before = self.out.is_empty() || (self.fresh && self.gap == Gap::None);
        if !nothing_before {
            self.gap = self.gap.max(gap);
        }
    }

    /// Behind a quote or an item, also an empty one: what follows must not stand behind its mark.
    fn leave(&mut self, gap: Gap) {
        if !self.out.is_empty() {
            self.gap = self.gap.max(gap);
        }
    }

    /// Writes the owed line ends.
    fn settle(&mut self) {
        if self.gap == Gap::None {
            return;
        }
        let prefix = self.prefixes.concat();
        self.out.truncate(self.out.trim_end_matches(' ').len());
        if self.gap == Gap::Blank {
            self.out.push('\n');
            self.out.push_str(prefix.trim_end());
        }
        self.out.push('\n');
        self.out.push_str(&prefix);
        self.gap = Gap::None;
        self.fresh = true;
    }

    fn put(&mut self, text: &str) {
        self.settle();
        if self.out.ends_with('`') && text.starts_with('`') {
            // Two runs of backticks side by side would be one.
            self.out.push(' ');
        }
        self.out.push_str(text);
        if !text.is_empty() {
            self.fresh = false;
        }
    }
}
