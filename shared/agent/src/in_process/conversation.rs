//! Keeps a conversation within the model's context window.

use genai::chat::{ChatMessage, ContentPart};

/// How long a conversation may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Above this many bytes, outputs are dropped.
    pub(super) bytes_max: usize,
    /// Until this many are left: well below the limit, as each cut costs the endpoint its cached prefix.
    pub(super) bytes_after_cut: usize,
}

impl Window {
    /// About 100,000 tokens, which fits the usual window of 128,000 with room for the answer.
    pub(super) const USUAL: Self = Self {
        bytes_max: 400_000,
        bytes_after_cut: 250_000,
    };
}

impl Window {
    /// A window that these messages do not fit in, and of which they leave half free once cut.
    pub(super) fn below(messages: &[ChatMessage]) -> Self {
        let bytes = size(messages);
        Self {
            bytes_max: bytes.saturating_sub(1),
            bytes_after_cut: bytes / 2,
        }
    }
}

/// How many of the latest messages are never cut: the model has not acted on them yet.
const LATEST_MESSAGES_KEPT: usize = 4;

/// Stands where an output was.
const DROPPED: &str = "[output dropped]";

/// Drops the oldest tool outputs of a conversation that is too long. Says whether it dropped any.
///
/// Everything else stays: the task, and what the model said and called. When that alone is too long, the endpoint says
/// so.
pub(super) fn cut(messages: &mut [ChatMessage], window: Window) -> bool {
    let bytes = size(messages);
    if bytes <= window.bytes_max {
        return false;
    }
    let old = messages.len().saturating_sub(LATEST_MESSAGES_KEPT);
    let mut left = bytes;
    for part in messages[..old]
        .iter_mut()
        .flat_map(|message| message.content.iter_mut())
    {
        if left <= window.bytes_after_cut {
            break;
        }
        if let ContentPart::ToolResponse(response) = part
            && response.content.len() > DROPPED.len()
        {
            left -= response.content.len() - DROPPED.len();
            DROPPED.clone_into(&mut response.content);
        }
    }
    if left < bytes {
        tracing::debug!(bytes, left, "dropped old outputs from a conversation");
    }
    left < bytes
}

fn size(messages: &[ChatMessage]) -> usize {
    messages.iter().map(ChatMessage::size).sum()
}

#[cfg(test)]
mod tests {
    use genai::chat::ToolResponse;

    use super::*;

    fn conversation() -> Vec<ChatMessage> {
        let mut messages = vec![ChatMessage::user("t".repeat(100))];
        for number in 0..6 {
            messages.push(ChatMessage::assistant("a".repeat(10)));
            messages.push(ChatMessage::from(ToolResponse::new(
                format!("c{number}"),
                "o".repeat(100),
            )));
        }
        messages
    }

    fn outputs(messages: &[ChatMessage]) -> String {
        let responses = messages
            .iter()
            .flat_map(|message| message.content.tool_responses());
        responses
            .map(|response| if response.content == DROPPED { '-' } else { 'o' })
            .collect()
    }

    #[test]
    fn a_short_conversation_stays_as_it_is() {
        let mut messages = conversation();
        assert!(!cut(
            &mut messages,
            Window {
                bytes_max: 1000,
                bytes_after_cut: 500
            }
        ));
        assert_eq!(outputs(&messages), "oooooo");
    }

    #[test]
    fn the_oldest_outputs_go_first_and_only_as_many_as_needed() {
        let mut messages = conversation();
        assert!(cut(
            &mut messages,
            Window {
                bytes_max: 700,
                bytes_after_cut: 650
            }
        ));
        assert_eq!(outputs(&messages), "--oooo");
        assert_eq!(messages[0].content.first_text(), Some("t".repeat(100).as_str()));
    }

    #[test]
    fn a_refused_conversation_is_cut_to_half_its_size() {
        let mut messages = conversation();
        let refused = size(&messages);
        let window = Window::below(&messages);
        assert!(cut(&mut messages, window));
        assert!(
            size(&messages) <= refused * 6 / 10,
            "{} of {refused}",
            size(&messages)
        );
    }

    #[test]
    fn the_latest_messages_are_kept_whatever_the_limit() {
        let mut messages = conversation();
        assert!(cut(
            &mut messages,
            Window {
                bytes_max: 10,
                bytes_after_cut: 5
            }
        ));
        assert_eq!(outputs(&messages), "----oo");
        assert!(
            !cut(
                &mut messages,
                Window {
                    bytes_max: 10,
                    bytes_after_cut: 5
                }
            ),
            "nothing is left to drop"
        );
    }
}
