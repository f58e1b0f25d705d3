//! Edits that ask for something else than the run that their comment has.

use pipeline::ids::RunId;
use pipeline::mention::{Command, Mention};

use super::Lane;

impl Lane {
    /// The run of a comment of which a mention is a newer version that asks for something else.
    pub(crate) fn edited(&self, mention: &Mention) -> Option<&RunId> {
        let memory = self.comments.get(&mention.comment)?;
        let digest = mention.command.as_ref().map(Command::digest);
        let is_edit = !memory.deleted && mention.comment_version > memory.version && memory.digest != digest;
        memory.run.as_ref().filter(|_| is_edit)
    }

    /// Takes note of an edit that the run's record tells to have come too late: what the comment asked for before counts
    /// on, also where the run has ended since.
    pub(crate) fn came_too_late(&mut self, mention: &Mention) {
        if let Some(memory) = self.comments.get_mut(&mention.comment) {
            memory.version = memory.version.max(mention.comment_version);
        }
    }
}

#[cfg(test)]
mod tests {
    use pipeline::ids::CommentId;

    use super::*;
    use crate::lane::tests::{at, mention, run};

    #[test]
    fn only_a_newer_version_that_asks_for_something_else_is_an_edit_of_a_run() {
        let mut lane = Lane::default();
        lane.enter(&mention(1, 1, 10, Some("a")), at(0));
        assert_eq!(lane.edited(&mention(1, 2, 20, Some("b"))), Some(&run(1, 1)));
        assert_eq!(lane.edited(&mention(1, 2, 20, None)), Some(&run(1, 1)));
        assert_eq!(lane.edited(&mention(1, 2, 20, Some("a"))), None);
        assert_eq!(lane.edited(&mention(1, 1, 10, Some("b"))), None);
        assert_eq!(lane.edited(&mention(2, 2, 20, Some("b"))), None);
        lane.deleted(CommentId(1));
        assert_eq!(lane.edited(&mention(1, 2, 20, Some("b"))), None);
    }
}
