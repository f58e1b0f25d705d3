//! How much models take and give, by their names. Where the table is wrong, or knows nothing, the endpoint's word counts: a
//! conversation that it says is too long is cut, and an answer that was cut is gone on with.

/// Tokens of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// A conversation and its answer together.
    pub(super) window: usize,
    /// One answer: what it is asked to stay below, where an API wants that said. More than it can give is refused.
    pub(super) answer: u32,
}

/// Of most models there are, and for an answer more than a file of a thousand lines takes.
const USUAL: Sizes = Sizes {
    window: 128_000,
    answer: 16_000,
};

/// The first whose text is in a name in lower case: gateways put words before and after it. Documented by the providers.
const KNOWN: [(&str, Sizes); 9] = [
    ("claude-3-haiku", sizes(200_000, 4_096)),
    ("claude-3-opus", sizes(200_000, 4_096)),
    ("claude-3-sonnet", sizes(200_000, 4_096)),
    ("claude-3-5", sizes(200_000, 8_192)),
    ("claude-3.5", sizes(200_000, 8_192)),
    ("claude-2", sizes(100_000, 4_096)),
    ("claude-instant", sizes(100_000, 4_096)),
    ("claude", sizes(200_000, 16_000)),
    ("gpt-3.5", sizes(16_000, 4_096)),
];

const fn sizes(window: usize, answer: u32) -> Sizes {
    Sizes { window, answer }
}

impl Sizes {
    /// Those of the model with this name.
    pub(super) fn of(model: &str) -> Self {
        let name = model.to_lowercase();
        let known = KNOWN.iter().find(|(part, _)| name.contains(part));
        known.map_or(USUAL, |(_, sizes)| *sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_by_whatever_name_a_gateway_gives_it() {
        for (name, expected) in [
            ("claude-3-5-haiku-20241022", sizes(200_000, 8_192)),
            ("anthropic/Claude-3.5-Sonnet", sizes(200_000, 8_192)),
            ("us.anthropic.claude-3-haiku-20240307-v1:0", sizes(200_000, 4_096)),
            ("claude-sonnet-4-5", sizes(200_000, 16_000)),
            ("openai/gpt-3.5-turbo", sizes(16_000, 4_096)),
            ("our-own-model", USUAL),
        ] {
            assert_eq!(Sizes::of(name), expected, "{name}");
        }
    }
}
