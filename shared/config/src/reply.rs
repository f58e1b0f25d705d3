//! `[reply]`: how the pull request is told.

use crate::reader::Reader;

/// `[reply]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Whether a run that may push shows as a build of the commit.
    pub build_status: bool,
    /// How people learn that a run has ended.
    pub finish: Finish,
}

/// How people learn that a run has ended. Whether Bitbucket notifies anybody of an edited comment is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The status reply is edited.
    Edit,
    /// The same, and a short comment is written under it.
    EditAndComment,
}

impl Default for Reply {
    /// What an empty section means.
    fn default() -> Self {
        Self {
            build_status: true,
            finish: Finish::Edit,
        }
    }
}

impl Finish {
    /// The word the file uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::EditAndComment => "edit-and-comment",
        }
    }
}

pub(crate) fn reply(mut reader: Reader<'_>) -> Reply {
    let default = Reply::default();
    let build_status = reader.flag("build_status", default.build_status);
    let words = [Finish::Edit, Finish::EditAndComment].map(|finish| (finish.as_str(), finish));
    let finish = reader.choice("finish", &words, default.finish);
    reader.finish();
    Reply { build_status, finish }
}
