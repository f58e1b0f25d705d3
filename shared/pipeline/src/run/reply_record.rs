//! What `services/reply` has done for a run.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::effect::Build;
use crate::ids::CommentId;

/// What `services/reply` has done for the run.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, true or not whatever the others are"
)]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReplyRecord {
    /// Set before the first attempt to post, so that an ambiguous answer is known to need a look. Stays beside the status
    /// reply where an earlier post may still arrive, until that was looked for once more at the end.
    pub intent: Option<PostIntent>,
    /// The status reply.
    pub comment: Option<CommentId>,
    /// Its version after our last edit.
    pub comment_version: u32,
    /// The `n` it shows.
    pub shows_n: Option<u64>,
    /// Whether 👀 was set.
    pub eyes: bool,
    /// Whether the closing reaction took its place, or could not.
    pub closing_reaction: bool,
    /// Set when the status reply was deleted by a person: it is not written again until the end.
    pub deleted_by_person: bool,
    /// Whether it stands at the top level, because the comment it answers was deleted.
    pub top_level: bool,
    /// How far the short comment is that tells the end beside the status reply, where that is configured.
    #[serde(skip_serializing_if = "crate::effect::Progress::is_planned")]
    pub finish: crate::effect::Progress,
    /// Whether an effect was begun more than once, so that what arrived beside it is looked for at the end.
    pub effects_unsure: bool,
    /// The build status as it was last set; absent where none was, or where Bitbucket takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
}

/// Who is about to post the status reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostIntent {
    /// A random name of the poster.
    pub poster: String,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
}
